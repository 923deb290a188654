//! Passwords: hashed and checked with argon2id, off the async threads, never more at once than there are cores.

use std::{fmt, sync::Arc, thread::available_parallelism};

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{PasswordHasher as _, PasswordVerifier as _, phc},
};
use tokio::sync::Semaphore;

use super::password_rules;
use crate::domain::password::PasswordProblem;

/// What a person types. Its Debug shows nothing.
#[derive(Clone)]
pub struct Password(String);

impl Password {
    /// Longest password in bytes. Far above the 64 characters that must work (ASVS 5.0, 6.2.9), far below what would
    /// make hashing a burden.
    pub const MAX_BYTES: usize = 1024;

    /// `None`: too long to be looked at.
    pub fn new(text: String) -> Option<Self> {
        (text.len() <= Self::MAX_BYTES).then_some(Self(text))
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

/// Hashing did not work.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    #[error("argon2: {0}")]
    Hash(String),
    #[error("hashing was cut off")]
    Cancelled,
    /// As many wait as may: nothing was looked at.
    #[error("too many passwords are waiting to be checked")]
    Busy,
}

/// Hashes and checks passwords. Cheap to clone; clones share their threads.
#[derive(Clone, Debug)]
pub struct Passwords {
    /// Memory in KiB and passes for new hashes.
    cost: (u32, u32),
    /// Each hash takes the memory below for its time, so a flood must not start them all at once.
    places: Arc<Semaphore>,
    /// Those who wait for a place, and those who have one: a flood is told to come back instead of waiting in line.
    line: Arc<Semaphore>,
    /// What an unknown person's password is compared with, so that the answer takes as long as for a known one.
    decoy: Arc<str>,
}

impl Passwords {
    /// 19 MiB and two passes: OWASP's first choice for argon2id (Password Storage Cheat Sheet, 2025).
    pub const COST: (u32, u32) = (19 * 1024, 2);

    /// How many may stand in line for each core. At some 30 ms a password that is a wait of a second.
    pub const LINE_PER_CORE: usize = 32;

    /// # Errors
    /// The cost is outside of what argon2 allows.
    pub fn new(cost: (u32, u32)) -> Result<Self, PasswordError> {
        let places = available_parallelism().map_or(1, usize::from);
        let decoy = hash_now(cost, "nobody has this password")?;
        Ok(Self {
            cost,
            places: Arc::new(Semaphore::new(places)),
            line: Arc::new(Semaphore::new(places * Self::LINE_PER_CORE)),
            decoy: decoy.into(),
        })
    }

    /// A PHC string with a salt of its own.
    ///
    /// # Errors
    /// [`PasswordError`] when hashing itself failed, or too many wait for it.
    pub async fn hash(&self, password: Password) -> Result<String, PasswordError> {
        let cost = self.cost;
        self.off_thread(move || hash_now(cost, &password.0)).await?
    }

    /// Looks whether a new password is fit to be one ([`password_rules::check`]): that takes a while too.
    ///
    /// # Errors
    /// [`PasswordError`] when too many wait; what is wrong with the password, inside.
    pub async fn judge(
        &self,
        password: String,
        about: Vec<String>,
    ) -> Result<Result<Password, PasswordProblem>, PasswordError> {
        self.off_thread(move || {
            let about: Vec<&str> = about.iter().map(String::as_str).collect();
            password_rules::check(&password, &about)
        })
        .await
    }

    /// Whether `password` is the one that `hash` was made from. `None`, for an unknown person, takes as long and is
    /// never true.
    ///
    /// # Errors
    /// [`PasswordError`] when the stored hash cannot be read, or too many wait.
    pub async fn verify(&self, password: Password, hash: Option<String>) -> Result<bool, PasswordError> {
        let known = hash.is_some();
        let hash = hash.unwrap_or_else(|| self.decoy.to_string());
        let matches = self
            .off_thread(move || {
                let hash =
                    phc::PasswordHash::new(&hash).map_err(|error| PasswordError::Hash(error.to_string()))?;
                Ok::<_, PasswordError>(
                    Argon2::default()
                        .verify_password(password.0.as_bytes(), &hash)
                        .is_ok(),
                )
            })
            .await??;
        Ok(matches && known)
    }

    async fn off_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, PasswordError> {
        let in_line = self
            .line
            .clone()
            .try_acquire_owned()
            .map_err(|_| PasswordError::Busy)?;
        let place = self
            .places
            .clone()
            .acquire_owned()
            .await
            .map_err(|_| PasswordError::Cancelled)?;
        tokio::task::spawn_blocking(move || {
            // Held by the work, not by the request: a request that goes away does not free a core that is busy.
            let _held = (place, in_line);
            work()
        })
        .await
        .map_err(|_| PasswordError::Cancelled)
    }
}

fn hash_now((memory, passes): (u32, u32), password: &str) -> Result<String, PasswordError> {
    let wrong = |error: &dyn fmt::Display| PasswordError::Hash(error.to_string());
    let params = Params::new(memory, passes, 1, None).map_err(|error| wrong(&error))?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    argon2
        .hash_password(password.as_bytes())
        .map(|hash| hash.to_string())
        .map_err(|error| wrong(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(text: &str) -> Password {
        Password::new(text.to_owned()).expect("short enough")
    }

    #[tokio::test]
    async fn only_the_same_password_passes_and_byte_73_matters() {
        let passwords = Passwords::new((64, 1)).expect("a cost");
        let long = "x".repeat(80);
        let hash = passwords.hash(typed(&long)).await.expect("a hash");
        assert!(hash.starts_with("$argon2id$v=19$"));
        assert!(
            passwords
                .verify(typed(&long), Some(hash.clone()))
                .await
                .expect("checked")
        );
        let other = format!("{}y{}", "x".repeat(72), "x".repeat(7));
        assert!(
            !passwords
                .verify(typed(&other), Some(hash))
                .await
                .expect("checked")
        );
    }

    #[tokio::test]
    async fn an_unknown_person_has_no_password_at_all() {
        let passwords = Passwords::new((64, 1)).expect("a cost");
        assert!(
            !passwords
                .verify(typed("nobody has this password"), None)
                .await
                .expect("checked")
        );
    }

    #[tokio::test]
    async fn a_flood_is_turned_away_at_once() {
        let passwords = Passwords::new((64, 1)).expect("a cost");
        let all = u32::try_from(passwords.line.available_permits()).expect("a few");
        let line = passwords
            .line
            .clone()
            .acquire_many_owned(all)
            .await
            .expect("a line");
        assert!(matches!(
            passwords.verify(typed("x"), None).await,
            Err(PasswordError::Busy)
        ));
        drop(line);
        assert!(!passwords.verify(typed("x"), None).await.expect("checked"));
    }

    #[test]
    fn a_megabyte_is_refused_before_it_is_hashed() {
        assert!(Password::new("x".repeat(1 << 20)).is_none());
        assert!(!format!("{:?}", typed("hunter2")).contains("hunter2"));
    }
}
