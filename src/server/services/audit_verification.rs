//! Looks whether the audit log is what was sealed: computes the chain anew, and looks for rows that it does not know.

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

/// How many rows are in memory at once.
const PAGE: i64 = 1000;

/// How many problems are told; the others are counted.
pub const MAX_LISTED: usize = 20;

/// How long a row may wait for its seal, and how far a row's time may be behind the times of rows sealed before it: a
/// transaction may take a moment to commit.
const GRACE: TimeDelta = TimeDelta::minutes(1);

/// Something that is not as it was sealed. Its Display is one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainProblem {
    #[error("row {id} was changed after it was sealed at position {position}")]
    RowChanged { id: i64, position: i64 },
    #[error("the chain's entry at position {position} was changed; its row {id} is as it was sealed")]
    EntryChanged { id: i64, position: i64 },
    #[error(
        "row {id} or the chain's entry at position {position}, after which nothing is left to compare, was changed"
    )]
    RowOrEntryChanged { id: i64, position: i64 },
    #[error("row {id} was removed after it was sealed at position {position}")]
    RowRemoved { id: i64, position: i64 },
    #[error("row {id} was removed before it was sealed")]
    RowRemovedUnsealed { id: i64 },
    #[error("the chain's entries from position {from} to {to} were removed")]
    EntriesRemoved { from: i64, to: i64 },
    #[error("position {position} is in the chain more than once")]
    PositionRepeated { position: i64 },
    #[error(
        "row {id} is neither sealed nor waiting for it: it was inserted past the queue, or its seal was removed"
    )]
    NeverSealed { id: i64 },
    #[error("row {id} is sealed and waits to be sealed at once: the queue was tampered with")]
    SealedAndWaiting { id: i64 },
    #[error("row {id} was inserted later than it says: its time {} is before {}, when rows sealed before it were written",
        format_rfc3339(*.at), format_rfc3339(*.after))]
    Backdated {
        id: i64,
        at: DateTime<Utc>,
        after: DateTime<Utc>,
    },
    #[error("row {id} has a time to come: {}, but it was sealed at {}", format_rfc3339(*.at), format_rfc3339(*.sealed_at))]
    Postdated {
        id: i64,
        at: DateTime<Utc>,
        sealed_at: DateTime<Utc>,
    },
    #[error("sealing is behind: {} waited for more than a minute, the oldest, row {id}, since {}",
        pluralize(*.count, "row"), format_rfc3339(*.since))]
    Behind {
        count: i64,
        id: i64,
        since: DateTime<Utc>,
    },
    #[error(
        "the chain ends at position {last}, before the noted head at position {noted}: its end was cut off"
    )]
    CutOff { noted: i64, last: i64 },
    #[error("the chain has another hash at position {noted} than the noted head: it was written anew")]
    WrittenAnew { noted: i64 },
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct VerificationReport {
    /// The first ones.
    pub problems: Vec<ChainProblem>,
    /// How many more there are.
    pub unlisted: usize,
    /// How many rows are sealed.
    pub sealed: i64,
    /// The earliest and the latest time of a sealed row.
    pub span: Option<(DateTime<Utc>, DateTime<Utc>)>,
    /// How many rows wait to be sealed.
    pub waiting: i64,
    /// Where the chain ends. `None`: nothing is sealed.
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

/// Whether the database has a chain that could be looked at.
///
/// # Errors
/// The database's.
pub async fn has_chain(database: &Database) -> sqlx::Result<bool> {
    audit_chain::exists(&mut *database.connection().await?).await
}

/// Looks at every row of the log as it is at this moment, beside a server that goes on writing. `noted` is a head that
/// was written down earlier: the chain has to lead through it.
///
/// # Errors
/// The database's.
pub async fn verify(
    database: &Database,
    now: DateTime<Utc>,
    noted: Option<ChainHead>,
) -> sqlx::Result<VerificationReport> {
    let mut tx = database.begin_snapshot().await?;
    audit_chain::lift_time_limit(&mut tx).await?;

    // Their past is invented: their rows tell of times before they were written.
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

/// The way along the chain.
struct ChainVerifier<'a> {
    report: VerificationReport,
    noted: Option<ChainHead>,
    demo_users: &'a [UserId],
    /// Where the way has come to.
    position: i64,
    /// The place before, as the chain has it. `None`: it is not there.
    before: Option<ChainHead>,
    /// The entry before did not fit: was it the row, or the entry? This is what it ought to be if it was the entry.
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

    /// Positions have no gaps and none comes twice.
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
            // The entry before leads here, so that it was its row that did not fit.
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

    /// Tells what did not fit where nothing says which of the two it was.
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
        // One that says a time to come must not make all that follow look late.
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
