//! Credentials of sessions: the secret of the client and its hash in the database.

use std::{fmt, str::FromStr};

use data_encoding::BASE64URL_NOPAD;
use rand::{TryRngCore, rngs::OsRng};
use sha2::{Digest, Sha256};

/// A client's secret: 128 random bits from the operating system, not ordered by time (ASVS 5.0, 7.2.3).
///
/// Debug prints nothing. Call [`PlainToken::reveal`] only to send the secret to its client.
#[derive(Clone, PartialEq, Eq)]
pub struct PlainToken([u8; PlainToken::BYTES]);

impl PlainToken {
    /// Length in bytes.
    pub const BYTES: usize = 16;

    /// Generates a secret.
    ///
    /// # Errors
    /// The operating system provides no random bytes.
    pub fn generate() -> Result<Self, RandomnessError> {
        let mut bytes = [0; Self::BYTES];
        OsRng.try_fill_bytes(&mut bytes).map_err(|_| RandomnessError)?;
        Ok(Self(bytes))
    }

    pub fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    pub fn bytes(&self) -> [u8; Self::BYTES] {
        self.0
    }

    /// The text for the client: 22 characters of base64url.
    pub fn reveal(&self) -> String {
        BASE64URL_NOPAD.encode(&self.0)
    }

    /// The hash that the database stores.
    pub fn hash(&self) -> HashedToken {
        HashedToken(Sha256::digest(self.0).into())
    }
}

impl fmt::Debug for PlainToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PlainToken(..)")
    }
}

/// The text is not a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a token")]
pub struct InvalidToken;

impl FromStr for PlainToken {
    type Err = InvalidToken;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = BASE64URL_NOPAD
            .decode(text.as_bytes())
            .map_err(|_| InvalidToken)?;
        Ok(Self(bytes.try_into().map_err(|_| InvalidToken)?))
    }
}

/// The operating system provides no random bytes.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the operating system has no randomness")]
pub struct RandomnessError;

/// SHA-256 of a [`PlainToken`]. A slow hash is not necessary, because the secret is random. Nobody can sign in with a copy of
/// the database.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct HashedToken([u8; 32]);

impl HashedToken {
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for HashedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HashedToken(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_round_trips_and_debug_hides_it() {
        let token = PlainToken::generate().expect("randomness");
        let text = token.reveal();
        assert_eq!(text.len(), 22);
        assert_eq!(text.parse(), Ok(token.clone()));
        assert!(!format!("{token:?}{:?}", token.hash()).contains(&text));
        assert_ne!(PlainToken::generate().expect("randomness"), token);
    }

    #[test]
    fn invalid_tokens_are_rejected() {
        for text in [
            "",
            "a",
            "AAAAAAAAAAAAAAAAAAAAAA==",
            "AAAAAAAAAAAAAAAAAAAAAAAAAAAA",
            "é",
            "AAAAAAAAAAAAAAAAAAAAA!",
        ] {
            assert_eq!(text.parse::<PlainToken>(), Err(InvalidToken), "{text:?}");
        }
    }
}
