//! Hashes and verifies passwords with argon2id, on blocking threads and in the order of the fair queue.

use std::{sync::Arc, thread::available_parallelism};

use domain::password::PasswordProblem;

use super::{
    password::{Password, PasswordError, PasswordMatch},
    password_hash::{self, HashCost},
    password_queue::{PasswordQueue, QueueKey, Requester, Turn},
    password_rules,
};

/// Hashes and verifies passwords. Cheap to clone; clones share the queue.
#[derive(Clone, Debug)]
pub struct Passwords {
    /// The cost of new hashes.
    cost: HashCost,
    queue: Arc<PasswordQueue>,
    /// Verified for unknown users, so that the response takes as long as for known users.
    decoy: Arc<str>,
}

impl Passwords {
    /// 19 MiB and two passes: OWASP's first choice for argon2id (Password Storage Cheat Sheet, 2025).
    pub const COST: HashCost = (19 * 1024, 2);

    /// # Errors
    /// The cost is outside of argon2's limits.
    pub fn new(cost: HashCost) -> Result<Self, PasswordError> {
        let cores = available_parallelism().map_or(1, usize::from);
        Ok(Self {
            cost,
            queue: PasswordQueue::new(cores),
            decoy: password_hash::hash(cost, "nobody has this password")?.into(),
        })
    }

    /// Waits for a turn, which all hashing requires.
    ///
    /// # Errors
    /// [`PasswordError::Busy`], [`PasswordError::AccountBusy`].
    pub async fn wait_for_turn(&self, requester: Requester) -> Result<Turn, PasswordError> {
        Ok(self.queue.wait_for_turn(requester).await?)
    }

    /// Rejects an account that has used its share of the queue, before any database query.
    ///
    /// # Errors
    /// [`PasswordError::AccountBusy`].
    pub fn require_room(&self, account: &QueueKey) -> Result<(), PasswordError> {
        if self.queue.has_room_for(account) {
            Ok(())
        } else {
            Err(PasswordError::AccountBusy)
        }
    }

    /// Hashes a password with a new salt. Returns a PHC string.
    ///
    /// # Errors
    /// [`PasswordError`] if hashing failed.
    pub async fn hash(&self, turn: &Turn, password: Password) -> Result<String, PasswordError> {
        let cost = self.cost;
        run_blocking(turn, move || password_hash::hash(cost, &password.normalised)).await?
    }

    /// Checks a new password ([`password_rules::check`]), which takes CPU time too.
    ///
    /// # Errors
    /// [`PasswordError`] if the check was cancelled. The inner error is the problem of the password.
    pub async fn check_rules(
        &self,
        turn: &Turn,
        password: String,
        about: Vec<String>,
    ) -> Result<Result<Password, PasswordProblem>, PasswordError> {
        run_blocking(turn, move || {
            let about: Vec<&str> = about.iter().map(String::as_str).collect();
            password_rules::check(&password, &about)
        })
        .await
    }

    /// Verifies `password` against `hash`. `None`, for an unknown user, takes as long and is always wrong.
    ///
    /// # Errors
    /// [`PasswordError`] if the stored hash is invalid.
    pub async fn verify(
        &self,
        turn: &Turn,
        password: Password,
        hash: Option<String>,
    ) -> Result<PasswordMatch, PasswordError> {
        let is_known = hash.is_some();
        let hash = hash.unwrap_or_else(|| self.decoy.to_string());
        let found = run_blocking(turn, move || {
            // Verify both forms in any case, for constant time. ASCII passwords have only one.
            let is_right = password_hash::verify(&password.normalised, &hash)?;
            let typed = password.typed.as_deref();
            let is_right_as_typed = typed.map_or(Ok(false), |typed| password_hash::verify(typed, &hash))?;
            Ok::<_, PasswordError>(match (is_right, is_right_as_typed) {
                (true, _) => PasswordMatch::Right,
                (false, true) => PasswordMatch::RightUnnormalised,
                (false, false) => PasswordMatch::Wrong,
            })
        })
        .await??;
        Ok(if is_known { found } else { PasswordMatch::Wrong })
    }
}

async fn run_blocking<T: Send + 'static>(
    turn: &Turn,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, PasswordError> {
    let slot = turn.slot();
    tokio::task::spawn_blocking(move || {
        // The work holds the slot, not the request: a cancelled request does not free its core.
        let _slot = slot;
        work()
    })
    .await
    .map_err(|_| PasswordError::Cancelled)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(text: &str) -> Password {
        Password::new(text.to_owned()).expect("short enough")
    }

    async fn passwords() -> (Passwords, Turn) {
        let passwords = Passwords::new((64, 1)).expect("a cost");
        let turn = passwords
            .wait_for_turn(Requester::OPERATOR)
            .await
            .expect("a turn");
        (passwords, turn)
    }

    #[tokio::test]
    async fn only_the_whole_same_password_matches() {
        let (passwords, turn) = passwords().await;
        let long = "x".repeat(80);
        let hash = passwords.hash(&turn, typed(&long)).await.expect("a hash");
        assert!(hash.starts_with("$argon2id$v=19$"));
        let other = format!("{}y{}", "x".repeat(72), "x".repeat(7));
        for (text, found) in [(&long, PasswordMatch::Right), (&other, PasswordMatch::Wrong)] {
            let checked = passwords.verify(&turn, typed(text), Some(hash.clone())).await;
            assert_eq!(checked.expect("checked"), found);
        }
    }

    #[tokio::test]
    async fn unicode_forms_match_the_same_password() {
        let (passwords, turn) = passwords().await;
        let forms = [
            "Z\u{fc}rich-caf\u{e9}-2026",
            "Zu\u{308}rich-cafe\u{301}-2026",
            "\u{ff3a}\u{fc}rich-caf\u{e9}-2026",
        ];
        for stored in forms {
            let hash = passwords.hash(&turn, typed(stored)).await.expect("a hash");
            for entered in forms {
                let checked = passwords.verify(&turn, typed(entered), Some(hash.clone())).await;
                assert_eq!(
                    checked.expect("checked"),
                    PasswordMatch::Right,
                    "{stored} {entered}"
                );
                assert!(Password::is_same(stored, entered));
            }
        }
    }

    #[tokio::test]
    async fn unnormalised_hashes_still_match() {
        let (passwords, turn) = passwords().await;
        let decomposed = "Zu\u{308}rich-cafe\u{301}-2026";
        let old = password_hash::hash((64, 1), decomposed).expect("a hash");
        let checked = passwords.verify(&turn, typed(decomposed), Some(old)).await;
        assert_eq!(checked.expect("checked"), PasswordMatch::RightUnnormalised);
    }

    #[tokio::test]
    async fn unknown_user_matches_no_password() {
        let (passwords, turn) = passwords().await;
        let decoy = typed("nobody has this password");
        let checked = passwords.verify(&turn, decoy, None).await;
        assert_eq!(checked.expect("checked"), PasswordMatch::Wrong);
    }

    #[test]
    fn megabyte_password_is_rejected_before_hashing() {
        assert!(Password::new("x".repeat(1 << 20)).is_none());
        assert!(!format!("{:?}", typed("hunter2")).contains("hunter2"));
    }
}
