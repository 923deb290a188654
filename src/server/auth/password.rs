//! Passwords: normalised, then hashed and checked with argon2id, off the async threads and in the turn of the fair queue.

use std::{fmt, sync::Arc, thread::available_parallelism};

use unicode_normalization::UnicodeNormalization as _;

use super::{
    password_hash::{self, HashCost},
    password_queue::{EnqueueError, PasswordQueue, QueueKey, Requester, Turn},
    password_rules,
};
use domain::password::PasswordProblem;

/// A password as a user typed it, and normalised. Its Debug shows nothing.
///
/// Keyboards and systems write the same letter in several ways: "é" as one character or as "e" with an accent. What is
/// hashed is the NFKC form (NIST SP 800-63B-4, 3.1.1.2).
#[derive(Clone)]
pub struct Password {
    normalised: String,
    /// Where it differs. Hashes from before passwords were normalised were made from it.
    typed: Option<String>,
}

impl Password {
    /// Longest password in bytes. Far above the 64 characters that must work (ASVS 5.0, 6.2.9), far below what would
    /// make hashing a burden.
    pub const MAX_BYTES: usize = 1024;

    /// `None`: too long to be checked.
    pub fn new(typed: String) -> Option<Self> {
        if typed.len() > Self::MAX_BYTES {
            return None;
        }
        if typed.is_ascii() {
            return Some(Self {
                normalised: typed,
                typed: None,
            });
        }
        let normalised: String = typed.nfkc().collect();
        let typed = Some(typed).filter(|typed| *typed != normalised);
        Some(Self { normalised, typed })
    }

    /// Whether two typed passwords are one, once normalised.
    pub fn is_same(one: &str, other: &str) -> bool {
        let read = |typed: &str| Self::new(typed.to_owned()).map(|password| password.normalised);
        read(one).is_some_and(|one| Some(one) == read(other))
    }

    /// The form that is hashed.
    pub(super) fn normalised(&self) -> &str {
        &self.normalised
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

/// What came of checking a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordMatch {
    Wrong,
    Right,
    /// The hash was made before passwords were normalised: it is to be replaced.
    RightUnnormalised,
}

/// Hashing did not work.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    #[error("argon2: {0}")]
    Hash(String),
    #[error("hashing was cut off")]
    Cancelled,
    /// As many wait as may: nothing was checked.
    #[error("too many passwords are waiting to be checked")]
    Busy,
    /// This account has its share of the queue: nothing was checked.
    #[error("too many passwords of one account are waiting to be checked")]
    AccountBusy,
}

impl From<EnqueueError> for PasswordError {
    fn from(error: EnqueueError) -> Self {
        match error {
            EnqueueError::AccountShareUsed => Self::AccountBusy,
            EnqueueError::QueueFull => Self::Busy,
        }
    }
}

/// Hashes and checks passwords. Cheap to clone; clones share their queue.
#[derive(Clone, Debug)]
pub struct Passwords {
    /// For new hashes.
    cost: HashCost,
    queue: Arc<PasswordQueue>,
    /// What an unknown user's password is compared with, so that the answer takes as long as for a known one.
    decoy: Arc<str>,
}

impl Passwords {
    /// 19 MiB and two passes: OWASP's first choice for argon2id (Password Storage Cheat Sheet, 2025).
    pub const COST: HashCost = (19 * 1024, 2);

    /// # Errors
    /// The cost is outside of what argon2 allows.
    pub fn new(cost: HashCost) -> Result<Self, PasswordError> {
        let cores = available_parallelism().map_or(1, usize::from);
        Ok(Self {
            cost,
            queue: PasswordQueue::new(cores),
            decoy: password_hash::hash(cost, "nobody has this password")?.into(),
        })
    }

    /// Waits for a turn, without which nothing is hashed.
    ///
    /// # Errors
    /// [`PasswordError::Busy`], [`PasswordError::AccountBusy`].
    pub async fn wait_for_turn(&self, requester: Requester) -> Result<Turn, PasswordError> {
        Ok(self.queue.wait_for_turn(requester).await?)
    }

    /// Refuses an account that has its share of the queue, before the database is asked anything for it.
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

    /// A PHC string with a salt of its own.
    ///
    /// # Errors
    /// [`PasswordError`] when hashing itself failed.
    pub async fn hash(&self, turn: &Turn, password: Password) -> Result<String, PasswordError> {
        let cost = self.cost;
        run_blocking(turn, move || password_hash::hash(cost, &password.normalised)).await?
    }

    /// Whether a new password is fit to be one ([`password_rules::check`]): that takes a while too.
    ///
    /// # Errors
    /// [`PasswordError`] when the check was cut off; what is wrong with the password, inside.
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

    /// Compares `password` with the one that `hash` was made from. `None`, for an unknown user, takes as long and is
    /// always wrong.
    ///
    /// # Errors
    /// [`PasswordError`] when the stored hash cannot be read.
    pub async fn verify(
        &self,
        turn: &Turn,
        password: Password,
        hash: Option<String>,
    ) -> Result<PasswordMatch, PasswordError> {
        let is_known = hash.is_some();
        let hash = hash.unwrap_or_else(|| self.decoy.to_string());
        let found = run_blocking(turn, move || {
            // Both forms, whichever is right: the time must not tell. ASCII, which nearly all are, has one.
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
        // Held by the work, not by the request: a request that goes away does not free a core that is busy.
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
