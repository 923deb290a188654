//! Verifies the audit log: computes the chain again and finds rows that are not in it.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};

use super::{audit_chain::ChainHead, demo};
use domain::{
    ids::UserId,
    time::{format_rfc3339, pluralize},
};

use crate::server::{
    database::Database,
    store::{
        audit_chain::{self, ChainEntry, SealedText},
        users,
    },
};

/// Rows in memory at once.
const PAGE: i64 = 1000;

/// Problems in a report. Further ones are only counted.
pub const MAX_LISTED: usize = 20;

/// How long a row may stay unsealed, and how much older a row may be than rows sealed before it, since transactions take
/// time to commit.
const GRACE: TimeDelta = TimeDelta::minutes(1);

/// A difference between the audit log and its chain. Displayed as one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainProblem {
    #[error("row {id} was changed after it was sealed at position {position}")]
    RowChanged { id: i64, position: i64 },
    #[error("the chain entry at position {position} was changed; its row {id} is unchanged")]
    EntryChanged { id: i64, position: i64 },
    #[error("row {id} or the chain entry at position {position} was changed; no later entry shows which one")]
    RowOrEntryChanged { id: i64, position: i64 },
    #[error("row {id} was removed after it was sealed at position {position}")]
    RowRemoved { id: i64, position: i64 },
    #[error("row {id} was removed before it was sealed")]
    RowRemovedUnsealed { id: i64 },
    #[error("the chain entries from position {from} to {to} were removed")]
    EntriesRemoved { from: i64, to: i64 },
    #[error("position {position} is in the chain more than once")]
    PositionRepeated { position: i64 },
    #[error(
        "row {id} is neither sealed nor queued for sealing: it bypassed the queue, or its chain entry was removed"
    )]
    NeverSealed { id: i64 },
    #[error("row {id} is sealed and still queued for sealing: the queue was changed")]
    SealedAndWaiting { id: i64 },
    #[error("row {id} was backdated: its time {} is before {}, the time of rows sealed earlier",
        format_rfc3339(*.at), format_rfc3339(*.after))]
    Backdated {
        id: i64,
        at: DateTime<Utc>,
        after: DateTime<Utc>,
    },
    #[error("row {id} was postdated: its time is {}, but it was sealed at {}", format_rfc3339(*.at), format_rfc3339(*.sealed_at))]
    Postdated {
        id: i64,
        at: DateTime<Utc>,
        sealed_at: DateTime<Utc>,
    },
    #[error("sealing is late: {} unsealed for more than a minute, the oldest, row {id}, since {}",
        pluralize(*.count, "row"), format_rfc3339(*.since))]
    Behind {
        count: i64,
        id: i64,
        since: DateTime<Utc>,
    },
    #[error("the chain ends at position {last}, before the known head at position {noted}: it was truncated")]
    CutOff { noted: i64, last: i64 },
    #[error("the hash at position {noted} differs from the known head: the chain was rewritten")]
    WrittenAnew { noted: i64 },
}

/// The result of a verification.
#[derive(Clone, Debug, Default)]
pub struct VerificationReport {
    /// The first problems.
    pub problems: Vec<ChainProblem>,
    /// Number of further problems.
    pub unlisted: usize,
    /// Number of sealed rows.
    pub sealed: i64,
    /// The earliest and latest time of a sealed row.
    pub span: Option<(DateTime<Utc>, DateTime<Utc>)>,
    /// Number of unsealed rows.
    pub waiting: i64,
    /// The end of the chain. `None`: nothing is sealed.
    pub head: Option<ChainHead>,
}

impl VerificationReport {
    fn add(&mut self, problem: ChainProblem) {
        if self.problems.len() < MAX_LISTED {
            self.problems.push(problem);
        } else {
            self.unlisted += 1;
        }
    }
}

/// Whether the database has an audit chain.
///
/// # Errors
/// Database errors.
pub async fn has_chain(database: &Database) -> sqlx::Result<bool> {
    audit_chain::exists(&mut *database.connection().await?).await
}

/// Verifies every row in one snapshot, while servers continue to write. The chain must contain `noted`, a head that was stored
/// earlier.
///
/// # Errors
/// Database errors.
pub async fn verify(
    database: &Database,
    now: DateTime<Utc>,
    noted: Option<ChainHead>,
) -> sqlx::Result<VerificationReport> {
    let mut tx = database.begin_snapshot().await?;
    audit_chain::lift_time_limit(&mut tx).await?;

    // Demo sessions have an invented past: their rows are older than their time of insertion.
    let mut demo_users = Vec::new();
    for (email, ..) in demo::ACCOUNTS {
        demo_users.extend(
            users::find_by_email(&mut tx, email)
                .await?
                .map(|account| account.id),
        );
    }
    let mut verifier = ChainVerifier::new(noted, &demo_users);
    loop {
        let entries = audit_chain::list_entries_after(&mut tx, verifier.position, PAGE).await?;
        if entries.is_empty() {
            break;
        }
        let ids: Vec<i64> = entries.iter().map(|entry| entry.event).collect();
        let texts = audit_chain::load_sealed_texts(&mut tx, &ids).await?;
        let rows: HashMap<i64, SealedText> = texts.into_iter().map(|row| (row.id, row)).collect();
        for entry in &entries {
            verifier.verify_entry(entry, rows.get(&entry.event));
        }
    }
    let mut report = verifier.finish();

    let mut after = i64::MIN;
    let mut behind: Option<(i64, i64, DateTime<Utc>)> = None;
    loop {
        let rows = audit_chain::list_seal_states_after(&mut tx, after, PAGE).await?;
        let Some(last) = rows.last() else { break };
        after = last.id;
        for row in &rows {
            match (row.sealed, row.waiting) {
                (true, false) => {}
                (true, true) => report.add(ChainProblem::SealedAndWaiting { id: row.id }),
                (false, false) => report.add(ChainProblem::NeverSealed { id: row.id }),
                (false, true) => {
                    report.waiting += 1;
                    let invented = row.user.is_some_and(|user| demo_users.contains(&user));
                    if row.at + GRACE < now && !invented {
                        let (count, id, since) = behind.unwrap_or((0, row.id, row.at));
                        behind = Some((count + 1, id, since));
                    }
                }
            }
        }
    }
    for id in audit_chain::list_orphans(&mut tx, PAGE).await? {
        report.add(ChainProblem::RowRemovedUnsealed { id });
    }
    if let Some((count, id, since)) = behind {
        report.add(ChainProblem::Behind { count, id, since });
    }
    tx.commit().await?;
    Ok(report)
}

/// Follows the chain from entry to entry.
struct ChainVerifier<'a> {
    report: VerificationReport,
    noted: Option<ChainHead>,
    demo_users: &'a [UserId],
    /// The position of the last entry.
    position: i64,
    /// The head before the current entry. `None`: that entry is missing.
    before: Option<ChainHead>,
    /// The previous entry did not match. Holds its row and the head that is right if the entry was changed and not the row.
    doubt: Option<(i64, ChainHead)>,
    /// The latest time of a row so far.
    latest: Option<DateTime<Utc>>,
}

impl<'a> ChainVerifier<'a> {
    fn new(noted: Option<ChainHead>, demo_users: &'a [UserId]) -> Self {
        Self {
            report: VerificationReport::default(),
            noted: noted.filter(|noted| noted.position > 0),
            demo_users,
            position: 0,
            before: Some(ChainHead::START),
            doubt: None,
            latest: None,
        }
    }

    fn verify_entry(&mut self, entry: &ChainEntry, row: Option<&SealedText>) {
        let here = ChainHead::from_entry(entry);
        self.check_position(entry.position);
        if let Some(noted) = self.noted.filter(|noted| noted.position == entry.position)
            && here != Some(noted)
        {
            self.report.add(ChainProblem::WrittenAnew {
                noted: noted.position,
            });
        }
        match row {
            Some(row) => {
                self.verify_hash(entry, here, row);
                self.check_time(entry, row);
            }
            None => {
                self.report_doubt();
                self.report.add(ChainProblem::RowRemoved {
                    id: entry.event,
                    position: entry.position,
                });
            }
        }
        self.report.sealed += 1;
        self.position = entry.position;
        self.before = here;
    }

    /// Checks that positions have no gaps and no duplicates.
    fn check_position(&mut self, position: i64) {
        let expected = self.position.saturating_add(1);
        if position == expected {
            return;
        }
        self.report_doubt();
        self.before = None;
        self.report.add(if position > expected {
            ChainProblem::EntriesRemoved {
                from: expected,
                to: position - 1,
            }
        } else {
            ChainProblem::PositionRepeated { position }
        });
    }

    fn verify_hash(&mut self, entry: &ChainEntry, here: Option<ChainHead>, row: &SealedText) {
        let fits = |before: ChainHead| {
            let computed = before.append(entry.sealed_at, &row.text);
            (Some(computed) == here, computed)
        };
        let Some((fits_before, computed)) = self.before.map(fits) else {
            return;
        };
        if fits_before {
            // The previous entry leads to this one, so its row was changed.
            if let Some((id, doubted)) = self.doubt.take() {
                self.report.add(ChainProblem::RowChanged {
                    id,
                    position: doubted.position,
                });
            }
        } else if let Some((id, doubted)) = self.doubt.filter(|(_, doubted)| fits(*doubted).0) {
            self.doubt = None;
            self.report.add(ChainProblem::EntryChanged {
                id,
                position: doubted.position,
            });
        } else {
            self.report_doubt();
            self.doubt = Some((entry.event, computed));
        }
    }

    /// Reports the previous mismatch, if nothing shows which of the two was changed.
    fn report_doubt(&mut self) {
        if let Some((id, doubted)) = self.doubt.take() {
            self.report.add(ChainProblem::RowOrEntryChanged {
                id,
                position: doubted.position,
            });
        }
    }

    fn check_time(&mut self, entry: &ChainEntry, row: &SealedText) {
        let (first, last) = self.report.span.unwrap_or((row.at, row.at));
        self.report.span = Some((first.min(row.at), last.max(row.at)));
        if row.user.is_some_and(|user| self.demo_users.contains(&user)) {
            return;
        }
        if let Some(latest) = self.latest
            && row.at + GRACE < latest
        {
            self.report.add(ChainProblem::Backdated {
                id: row.id,
                at: row.at,
                after: latest,
            });
        }
        if row.at > entry.sealed_at + GRACE {
            self.report.add(ChainProblem::Postdated {
                id: row.id,
                at: row.at,
                sealed_at: entry.sealed_at,
            });
        }
        // A postdated row must not make all later rows look backdated.
        self.latest = self.latest.max(Some(row.at.min(entry.sealed_at)));
    }

    fn finish(mut self) -> VerificationReport {
        self.report_doubt();
        if let Some(noted) = self.noted.filter(|noted| noted.position > self.position) {
            self.report.add(ChainProblem::CutOff {
                noted: noted.position,
                last: self.position,
            });
        }
        self.report.head = self.before.filter(|head| head.position > 0);
        self.report
    }
}
