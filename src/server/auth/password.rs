//! A typed password, and the errors of hashing it.

use std::fmt;

use unicode_normalization::UnicodeNormalization as _;

use super::password_queue::EnqueueError;

/// A password as typed and in normalised form. Debug prints nothing.
///
/// Keyboards and systems encode the same letter differently: "é" as one character or as "e" with an accent. The hash is of
/// the NFKC form (NIST SP 800-63B-4, 3.1.1.2).
#[derive(Clone)]
pub struct Password {
    pub(super) normalised: String,
    /// If different from `normalised`. Hashes from before normalisation are of this form.
    pub(super) typed: Option<String>,
}

impl Password {
    /// Longest password in bytes: far more than the 64 characters that must be allowed (ASVS 5.0, 6.2.9), and still fast to
    /// hash.
    pub const MAX_BYTES: usize = 1024;

    /// `None`: too long.
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

    /// Whether two typed passwords are equal after normalisation.
    pub fn is_same(one: &str, other: &str) -> bool {
        let read = |typed: &str| Self::new(typed.to_owned()).map(|password| password.normalised);
        read(one).is_some_and(|one| Some(one) == read(other))
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

/// The result of verifying a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordMatch {
    Wrong,
    Right,
    /// The hash is from before normalisation and must be replaced.
    RightUnnormalised,
}

/// Why a password was not hashed or verified.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    #[error("argon2: {0}")]
    Hash(String),
    #[error("hashing was cancelled")]
    Cancelled,
    /// The queue is full. Nothing was checked.
    #[error("too many passwords are waiting to be checked")]
    Busy,
    /// The account has used its share of the queue. Nothing was checked.
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
