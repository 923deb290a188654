//! Seals the audit log: each row is hashed together with the previous hash. The last hash therefore reveals any
//! change, removal or insertion of an earlier row.

use std::{fmt, str::FromStr};

use chrono::{DateTime, Utc};
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use crate::server::{
    clock::Clock,
    database::Database,
    store::audit_chain::{self, ChainEntry},
};

/// Rows per transaction.
const BATCH_ROWS: i64 = 1000;

/// Position and hash of the last sealed row. Stored outside the database, it verifies the chain later. Its text form is
/// `POSITION:HASH`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainHead {
    /// Number of sealed rows.
    pub position: i64,
    pub hash: [u8; 32],
}

impl ChainHead {
    /// The head of an empty chain.
    pub const START: Self = Self {
        position: 0,
        hash: [0; 32],
    };

    /// Returns the head after sealing a row. The hash is SHA-256 over the previous hash and a compact JSON array: position,
    /// sealing time in microseconds since 1970, text of the row.
    #[must_use]
    pub fn append(&self, sealed_at: DateTime<Utc>, text: &str) -> Self {
        let position = self.position.saturating_add(1);
        let sealed = serde_json::json!([position, sealed_at.timestamp_micros(), text]).to_string();
        let hash = Sha256::new()
            .chain_update(self.hash)
            .chain_update(sealed)
            .finalize()
            .into();
        Self { position, hash }
    }

    /// Creates the head from an entry. `None`: the hash does not have 32 bytes.
    pub fn from_entry(entry: &ChainEntry) -> Option<Self> {
        Some(Self {
            position: entry.position,
            hash: entry.hash.as_slice().try_into().ok()?,
        })
    }
}

impl fmt::Display for ChainHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.position, HEXLOWER.encode(&self.hash))
    }
}

/// Error for a text that is not a chain head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a chain head has the form POSITION:HASH, with a hash of 64 hexadecimal digits")]
pub struct InvalidChainHead;

impl FromStr for ChainHead {
    type Err = InvalidChainHead;

    fn from_str(text: &str) -> Result<Self, InvalidChainHead> {
        let (position, hash) = text.trim().split_once(':').ok_or(InvalidChainHead)?;
        let hash = HEXLOWER
            .decode(hash.to_ascii_lowercase().as_bytes())
            .map_err(|_| InvalidChainHead)?;
        Ok(Self {
            position: position
                .parse()
                .ok()
                .filter(|position| *position >= 0)
                .ok_or(InvalidChainHead)?,
            hash: hash.try_into().map_err(|_| InvalidChainHead)?,
        })
    }
}

/// Seals all unsealed rows and returns their number. Does nothing while another node seals.
///
/// # Errors
/// Database errors. Finished batches stay sealed.
pub async fn seal_all(database: &Database, clock: &Clock) -> sqlx::Result<usize> {
    if !audit_chain::has_unsealed(&mut *database.connection().await?).await? {
        return Ok(0);
    }
    let mut sealed = 0;
    loop {
        let batch = seal_batch(database, clock).await?;
        sealed += batch.rows;
        if !batch.is_full {
            return Ok(sealed);
        }
    }
}

#[derive(Debug, Default)]
struct SealedBatch {
    rows: usize,
    /// More rows may be unsealed.
    is_full: bool,
}

/// Seals the oldest unsealed rows, at most one batch.
///
/// # Errors
/// Database errors. In this case no row of the batch is sealed.
async fn seal_batch(database: &Database, clock: &Clock) -> sqlx::Result<SealedBatch> {
    let mut tx = database.begin_unverified().await?;
    if !audit_chain::try_lock(&mut tx).await? {
        return Ok(SealedBatch::default());
    }
    // Must be a separate statement after the lock: only then it sees the commits of the previous holder.
    let mut head = match audit_chain::load_last_entry(&mut tx).await? {
        None => ChainHead::START,
        Some(last) => ChainHead::from_entry(&last).ok_or_else(|| {
            sqlx::Error::Protocol(format!(
                "the last entry of the audit chain, at position {}, has an invalid hash",
                last.position
            ))
        })?,
    };
    let ids = audit_chain::list_unsealed(&mut tx, BATCH_ROWS).await?;
    if ids.is_empty() {
        return Ok(SealedBatch::default());
    }
    let sealed_at = clock.now();
    let mut entries = Vec::with_capacity(ids.len());
    for row in audit_chain::load_sealed_texts(&mut tx, &ids).await? {
        head = head.append(sealed_at, &row.text);
        entries.push(ChainEntry {
            position: head.position,
            event: row.id,
            sealed_at,
            hash: head.hash.to_vec(),
        });
    }
    audit_chain::append(&mut tx, &entries).await?;
    tx.commit().await?;
    Ok(SealedBatch {
        rows: entries.len(),
        is_full: i64::try_from(ids.len()).is_ok_and(|count| count == BATCH_ROWS),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chain_head_round_trips_through_text() {
        let time = DateTime::from_timestamp(1_700_000_000, 120_000).expect("a time");
        let head = ChainHead::START.append(time, "{\"id\": 1}");
        assert_eq!(head.to_string().parse(), Ok(head));
        assert_eq!(
            format!(" {}\n", head.to_string().to_uppercase()).parse(),
            Ok(head)
        );
        for wrong in ["", "1", "1:", "1:abcd", "-1:00", ":00"] {
            assert_eq!(wrong.parse::<ChainHead>(), Err(InvalidChainHead), "{wrong:?}");
        }
    }

    #[test]
    fn hash_matches_the_documentation() {
        // printf '[1,1700000000000120,"{\\"id\\": 1}"]' after 32 zero bytes, through sha256sum.
        let time = DateTime::from_timestamp(1_700_000_000, 120_000).expect("a time");
        let head = ChainHead::START.append(time, "{\"id\": 1}");
        assert_eq!(
            head.to_string(),
            "1:fed25f81b41d692d87d388e2443e7adaafe9decafa5cb28e8340d4702ea20418"
        );
    }
}
