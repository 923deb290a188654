//! Looks whether the audit log is what was sealed: computes the chain anew, and looks for rows that it does not know.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};

use super::{audit_chain::Head, demo};
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
pub const TOLD: usize = 20;

/// How long a row may wait for its seal, and how far a row's time may be behind the times of rows sealed before it: a
/// transaction may take a moment to commit.
const GRACE: TimeDelta = TimeDelta::minutes(1);

/// Something that is not as it was sealed. Its Display is one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
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
pub struct Verdict {
    /// The first ones.
    pub problems: Vec<Problem>,
    /// How many more there are.
    pub untold: usize,
    /// How many rows are sealed.
    pub sealed: i64,
    /// The earliest and the latest time of a sealed row.
    pub span: Option<(DateTime<Utc>, DateTime<Utc>)>,
    /// How many rows wait to be sealed.
    pub waiting: i64,
    /// Where the chain ends. `None`: nothing is sealed.
    pub head: Option<Head>,
}

impl Verdict {
    fn add(&mut self, problem: Problem) {
        if self.problems.len() < TOLD {
            self.problems.push(problem);
        } else {
            self.untold += 1;
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
pub async fn verify(database: &Database, now: DateTime<Utc>, noted: Option<Head>) -> sqlx::Result<Verdict> {
    let mut tx = database.begin_snapshot().await?;
    audit_chain::lift_time_limit(&mut tx).await?;

    // Their past is invented: their rows tell of times before they were written.
    let mut demo_people = Vec::new();
    for (email, ..) in demo::PEOPLE {
        demo_people.extend(
            users::find_by_email(&mut tx, email)
                .await?
                .map(|account| account.id),
        );
    }
    let mut walk = Walk::new(noted, &demo_people);
    loop {
        let entries = audit_chain::list_entries_after(&mut tx, walk.position, PAGE).await?;
        if entries.is_empty() {
            break;
        }
        let ids: Vec<i64> = entries.iter().map(|entry| entry.event).collect();
        let texts = audit_chain::load_sealed_texts(&mut tx, &ids).await?;
        let rows: HashMap<i64, SealedText> = texts.into_iter().map(|row| (row.id, row)).collect();
        for entry in &entries {
            walk.visit(entry, rows.get(&entry.event));
        }
    }
    let mut verdict = walk.end();

    let mut after = i64::MIN;
    let mut behind: Option<(i64, i64, DateTime<Utc>)> = None;
    loop {
        let rows = audit_chain::list_seal_states_after(&mut tx, after, PAGE).await?;
        let Some(last) = rows.last() else { break };
        after = last.id;
        for row in &rows {
            match (row.sealed, row.waiting) {
                (true, false) => {}
                (true, true) => verdict.add(Problem::SealedAndWaiting { id: row.id }),
                (false, false) => verdict.add(Problem::NeverSealed { id: row.id }),
                (false, true) => {
                    verdict.waiting += 1;
                    let invented = row.user.is_some_and(|user| demo_people.contains(&user));
                    if row.at + GRACE < now && !invented {
                        let (count, id, since) = behind.unwrap_or((0, row.id, row.at));
                        behind = Some((count + 1, id, since));
                    }
                }
            }
        }
    }
    for id in audit_chain::list_orphans(&mut tx, PAGE).await? {
        verdict.add(Problem::RowRemovedUnsealed { id });
    }
    if let Some((count, id, since)) = behind {
        verdict.add(Problem::Behind { count, id, since });
    }
    tx.commit().await?;
    Ok(verdict)
}

/// The way along the chain.
struct Walk<'a> {
    verdict: Verdict,
    noted: Option<Head>,
    demo_people: &'a [UserId],
    /// Where the way has come to.
    position: i64,
    /// The place before, as the chain has it. `None`: it is not there.
    before: Option<Head>,
    /// The entry before did not fit: was it the row, or the entry? This is what it ought to be if it was the entry.
    doubt: Option<(i64, Head)>,
    /// The latest time of a row so far.
    latest: Option<DateTime<Utc>>,
}

impl<'a> Walk<'a> {
    fn new(noted: Option<Head>, demo_people: &'a [UserId]) -> Self {
        Self {
            verdict: Verdict::default(),
            noted: noted.filter(|noted| noted.position > 0),
            demo_people,
            position: 0,
            before: Some(Head::BEGINNING),
            doubt: None,
            latest: None,
        }
    }

    fn visit(&mut self, entry: &ChainEntry, row: Option<&SealedText>) {
        let here = Head::of(entry);
        self.keep_count(entry.position);
        if let Some(noted) = self.noted.filter(|noted| noted.position == entry.position)
            && here != Some(noted)
        {
            self.verdict.add(Problem::WrittenAnew {
                noted: noted.position,
            });
        }
        match row {
            Some(row) => {
                self.compare(entry, here, row);
                self.look_at_time(entry, row);
            }
            None => {
                self.settle();
                self.verdict.add(Problem::RowRemoved {
                    id: entry.event,
                    position: entry.position,
                });
            }
        }
        self.verdict.sealed += 1;
        self.position = entry.position;
        self.before = here;
    }

    /// Positions have no gaps and none comes twice.
    fn keep_count(&mut self, position: i64) {
        let expected = self.position.saturating_add(1);
        if position == expected {
            return;
        }
        self.settle();
        self.before = None;
        self.verdict.add(if position > expected {
            Problem::EntriesRemoved {
                from: expected,
                to: position - 1,
            }
        } else {
            Problem::PositionRepeated { position }
        });
    }

    fn compare(&mut self, entry: &ChainEntry, here: Option<Head>, row: &SealedText) {
        let fits = |before: Head| {
            let computed = before.then(entry.sealed_at, &row.text);
            (Some(computed) == here, computed)
        };
        let Some((fits_before, computed)) = self.before.map(fits) else {
            return;
        };
        if fits_before {
            // The entry before leads here, so that it was its row that did not fit.
            if let Some((id, doubted)) = self.doubt.take() {
                self.verdict.add(Problem::RowChanged {
                    id,
                    position: doubted.position,
                });
            }
        } else if let Some((id, doubted)) = self.doubt.filter(|(_, doubted)| fits(*doubted).0) {
            self.doubt = None;
            self.verdict.add(Problem::EntryChanged {
                id,
                position: doubted.position,
            });
        } else {
            self.settle();
            self.doubt = Some((entry.event, computed));
        }
    }

    /// Tells what did not fit where nothing says which of the two it was.
    fn settle(&mut self) {
        if let Some((id, doubted)) = self.doubt.take() {
            self.verdict.add(Problem::RowOrEntryChanged {
                id,
                position: doubted.position,
            });
        }
    }

    fn look_at_time(&mut self, entry: &ChainEntry, row: &SealedText) {
        let (first, last) = self.verdict.span.unwrap_or((row.at, row.at));
        self.verdict.span = Some((first.min(row.at), last.max(row.at)));
        if row.user.is_some_and(|user| self.demo_people.contains(&user)) {
            return;
        }
        if let Some(latest) = self.latest
            && row.at + GRACE < latest
        {
            self.verdict.add(Problem::Backdated {
                id: row.id,
                at: row.at,
                after: latest,
            });
        }
        if row.at > entry.sealed_at + GRACE {
            self.verdict.add(Problem::Postdated {
                id: row.id,
                at: row.at,
                sealed_at: entry.sealed_at,
            });
        }
        // One that says a time to come must not make all that follow look late.
        self.latest = self.latest.max(Some(row.at.min(entry.sealed_at)));
    }

    fn end(mut self) -> Verdict {
        self.settle();
        if let Some(noted) = self.noted.filter(|noted| noted.position > self.position) {
            self.verdict.add(Problem::CutOff {
                noted: noted.position,
                last: self.position,
            });
        }
        self.verdict.head = self.before.filter(|head| head.position > 0);
        self.verdict
    }
}
