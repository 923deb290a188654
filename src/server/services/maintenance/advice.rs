//! Finds problems of the database and suggests actions.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use super::{MaintenanceReport, MaintenanceSettings};
use domain::time::{format_rfc3339, pluralize, relative_time};

use crate::server::store::maintenance::{IndexStats, OpenTransaction, TableStats};

/// A problem, with an action that solves it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Advice {
    /// The affected object, such as a table.
    pub subject: String,
    pub why: String,
    /// `None`: an operator must act, as `why` says.
    pub action: Option<MaintenanceAction>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MaintenanceAction {
    CleanUp,
    Vacuum { table: String, freeze: bool },
    Reindex { index: String },
    DropIndex { index: String },
    Seal,
}

impl std::fmt::Display for MaintenanceAction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            MaintenanceAction::CleanUp => f.write_str("run the clean-up"),
            MaintenanceAction::Vacuum { table, freeze: false } => write!(f, "VACUUM (ANALYZE) {table}"),
            MaintenanceAction::Vacuum { table, freeze: true } => {
                write!(f, "VACUUM (FREEZE, ANALYZE) {table}")
            }
            MaintenanceAction::Reindex { index } => write!(f, "REINDEX INDEX CONCURRENTLY {index}"),
            MaintenanceAction::DropIndex { index } => write!(f, "DROP INDEX CONCURRENTLY {index}"),
            MaintenanceAction::Seal => f.write_str("seal the audit log"),
        }
    }
}

impl Serialize for MaintenanceAction {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Dead or changed rows that require a vacuum, with the share below. Autovacuum starts at less.
const MIN_ROWS: i64 = 1000;
const MIN_SHARE: f64 = 0.2;

/// An index is bloated if it has twice its expected size and wastes at least this many bytes.
const BLOAT_FACTOR: i64 = 2;
const MIN_WASTE: i64 = 1 << 20;

/// Transaction age that shows that autovacuum does not freeze, in percent of the age at which it should.
const LATE_FREEZE_PERCENT: i64 = 125;

/// Requests take seconds, and the portal closes its own connections after 15 seconds idle in a transaction.
const LONG_TRANSACTION: TimeDelta = TimeDelta::minutes(5);
const LONG_IDLE: TimeDelta = TimeDelta::minutes(1);

/// Audit rows are usually sealed within seconds.
const SEAL_LIMIT: TimeDelta = TimeDelta::minutes(1);

/// Suffixes of the temporary and the replaced index of REINDEX CONCURRENTLY.
const LEFTOVERS: [&str; 2] = ["_ccnew", "_ccold"];

impl TableStats {
    /// The estimated size of dead rows in bytes: their share of the table. VACUUM makes this space usable. Without space that is
    /// already free.
    pub fn dead_bytes(&self) -> i64 {
        let rows = i128::from((self.live_rows + self.dead_rows).max(1));
        i64::try_from(i128::from(self.table_bytes) * i128::from(self.dead_rows) / rows).unwrap_or(i64::MAX)
    }
}

impl IndexStats {
    /// Whether no query used the index since the statistics began, and no constraint needs it.
    pub fn is_unused(&self) -> bool {
        self.scans == 0 && !self.is_unique
    }

    fn waste(&self) -> Option<i64> {
        let expected = self.expected_bytes?;
        let waste = self.bytes - expected;
        (waste >= MIN_WASTE && self.bytes > expected.saturating_mul(BLOAT_FACTOR)).then_some(waste)
    }

    fn is_leftover(&self) -> bool {
        let name = self.name.trim_end_matches(|last: char| last.is_ascii_digit());
        LEFTOVERS.iter().any(|end| name.ends_with(end))
    }
}

/// All advice, in the order of execution: first what deletes rows, then what frees space.
pub fn advise(report: &MaintenanceReport, settings: MaintenanceSettings) -> Vec<Advice> {
    let mut all = Vec::new();
    all.extend(check_transactions(report));
    let cleanup = check_cleanup(report, settings);
    let cleans_up = cleanup.is_some();
    all.extend(cleanup);
    all.extend(check_sealing(report));
    if !report.database.autovacuum {
        all.push(Advice {
            subject: "autovacuum".to_owned(),
            why: "autovacuum is off: dead rows stay until a manual VACUUM; set autovacuum = on".to_owned(),
            action: None,
        });
    }
    all.extend(
        report
            .tables
            .iter()
            .filter_map(|table| check_table(table, report, cleans_up)),
    );
    all.extend(report.indexes.iter().filter_map(check_index));
    all
}

/// The longest idle transaction and the longest active one.
fn check_transactions(report: &MaintenanceReport) -> impl Iterator<Item = Advice> {
    let now = report.at;
    let is_idle = |open: &&OpenTransaction| open.state.starts_with("idle in transaction");
    let idle = report
        .open_transactions
        .iter()
        .filter(is_idle)
        .min_by_key(|open| open.state_since)
        .filter(|open| now - open.state_since >= LONG_IDLE);
    let long = report
        .open_transactions
        .iter()
        .find(|open| idle.is_none_or(|idle| idle.pid != open.pid))
        .filter(|open| now - open.since >= LONG_TRANSACTION);
    [idle, long].into_iter().flatten().map(move |open| Advice {
        subject: format!("connection {}", open.pid),
        why: format!(
            "{}: it prevents VACUUM and REINDEX. Ask its owner, or end it with SELECT pg_terminate_backend({})",
            describe_transaction(open, now),
            open.pid
        ),
        action: None,
    })
}

/// Describes a transaction and its owner.
pub fn describe_transaction(open: &OpenTransaction, now: DateTime<Utc>) -> String {
    let application = match &*open.application {
        "" => "without a name",
        name => name,
    };
    let address = open.address.as_deref().unwrap_or("this machine");
    format!(
        "{application} of {}, from {address}, began a transaction {} and is {} since {}",
        open.user,
        relative_time(open.since, now),
        open.state,
        format_rfc3339(open.state_since),
    )
}

fn check_cleanup(report: &MaintenanceReport, settings: MaintenanceSettings) -> Option<Advice> {
    let keeping = &report.keeping;
    let interval = TimeDelta::from_std(settings.cleanup_interval).unwrap_or(TimeDelta::MAX);
    let overdue = |then: DateTime<Utc>| report.at - then > interval.checked_mul(2).unwrap_or(interval);
    let seconds = settings.cleanup_interval.as_secs();
    let why = match (keeping.cleanup_started, keeping.cleanup_finished) {
        (None, _) => "it has never run".to_owned(),
        (Some(started), Some(finished)) if overdue(finished) && started > finished => format!(
            "it last finished at {} and started again at {}: see the server's log for the error",
            format_rfc3339(finished),
            format_rfc3339(started)
        ),
        (_, Some(finished)) if overdue(finished) => format!(
            "it last finished at {}, but should run every {seconds} seconds: is a server running?",
            format_rfc3339(finished)
        ),
        // It may still be running.
        (Some(started), None) if overdue(started) => {
            format!(
                "it started at {} and did not finish: see the server's log for the error",
                format_rfc3339(started)
            )
        }
        _ => return None,
    };
    Some(Advice {
        subject: "clean-up".to_owned(),
        why: format!(
            "{why}; {} and {} past retention",
            pluralize(keeping.sessions_past_retention, "ended session"),
            pluralize(keeping.events_past_keeping, "event"),
        ),
        action: Some(MaintenanceAction::CleanUp),
    })
}

fn check_sealing(report: &MaintenanceReport) -> Option<Advice> {
    let oldest = report.keeping.oldest_unsealed?;
    (report.at - oldest > SEAL_LIMIT).then(|| Advice {
        subject: "audit log".to_owned(),
        why: format!(
            "{} not sealed, the oldest of {}: a running server seals within seconds",
            pluralize(report.keeping.unsealed, "row"),
            format_rfc3339(oldest)
        ),
        action: Some(MaintenanceAction::Seal),
    })
}

fn check_table(table: &TableStats, report: &MaintenanceReport, cleans_up: bool) -> Option<Advice> {
    let too_many = |rows: i64| rows >= MIN_ROWS && rows as f64 > MIN_SHARE * table.live_rows as f64;
    // Rows that the suggested clean-up will delete.
    let to_be_deleted = if cleans_up {
        match &*table.name {
            "sessions" | "session_networks" => report.keeping.sessions_past_retention,
            "session_events" => report.keeping.events_past_keeping,
            _ => 0,
        }
    } else {
        0
    };
    let freeze_late = table.transaction_age > report.database.freeze_at / 100 * LATE_FREEZE_PERCENT;
    let why = if freeze_late {
        format!(
            "its rows were frozen {} transactions ago, but autovacuum should freeze them at {}: at two billion the database \
             rejects all changes",
            table.transaction_age, report.database.freeze_at
        )
    } else if too_many(table.dead_rows) {
        format!(
            "{} dead and {} live: about {} of unusable space",
            pluralize(table.dead_rows, "row"),
            table.live_rows,
            human_bytes(table.dead_bytes()),
        )
    } else if too_many(table.dead_rows + to_be_deleted) {
        format!("the clean-up deletes {} of it", pluralize(to_be_deleted, "row"))
    } else if too_many(table.changed_rows) {
        format!(
            "{} changed since the last ANALYZE",
            pluralize(table.changed_rows, "row")
        )
    } else {
        return None;
    };
    Some(Advice {
        subject: table.name.clone(),
        why,
        action: Some(MaintenanceAction::Vacuum {
            table: table.name.clone(),
            freeze: freeze_late,
        }),
    })
}

fn check_index(index: &IndexStats) -> Option<Advice> {
    let name = index.name.clone();
    let (why, action) = if index.is_valid {
        let waste = index.waste()?;
        let why = format!(
            "{}, of which about {} is empty: its entries need {}",
            human_bytes(index.bytes),
            human_bytes(waste),
            human_bytes(index.bytes - waste),
        );
        (why, MaintenanceAction::Reindex { index: name })
    } else if index.is_leftover() {
        let why = "it is left over from a failed REINDEX: every change updates it, no query uses it";
        (why.to_owned(), MaintenanceAction::DropIndex { index: name })
    } else {
        let why = "its creation failed: every change updates it, no query uses it";
        (why.to_owned(), MaintenanceAction::Reindex { index: name })
    };
    Some(Advice {
        subject: index.name.clone(),
        why,
        action: Some(action),
    })
}

/// "812 bytes", "64.0 KiB", "1.5 GiB".
pub fn human_bytes(bytes: i64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let mut size = bytes as f64;
    let mut unit = "bytes";
    for larger in UNITS {
        if size < 1024.0 {
            break;
        }
        size /= 1024.0;
        unit = larger;
    }
    if unit == "bytes" {
        format!("{bytes} bytes")
    } else {
        format!("{size:.1} {unit}")
    }
}

#[cfg(test)]
mod tests;
