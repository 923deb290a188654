//! Looks after the database: what is the matter with it, what to do about each, and doing it.
//!
//! What others do is theirs: a transaction that somebody left open is named and never ended from here.

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use sqlx::PgConnection;

use super::cleanup;
use crate::{
    domain::time::{ago, plural, rfc3339},
    server::{
        clock::Clock,
        database::Database,
        jobs,
        store::maintenance::{self as store, Index, Keeping, OpenTransaction, Table, Whole},
    },
};

/// What the portal is set to, as far as upkeep goes by it.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    pub cleanup_interval: Duration,
    /// How long ended sessions are kept.
    pub retention: Duration,
}

/// How the database is.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub at: DateTime<Utc>,
    pub database: Whole,
    pub tables: Vec<Table>,
    pub indexes: Vec<Index>,
    /// The oldest first.
    pub open_transactions: Vec<OpenTransaction>,
    pub keeping: Keeping,
    pub advice: Vec<Advice>,
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Advice {
    /// What it is about, such as a table's name.
    pub subject: String,
    pub why: String,
    /// What is done about it. `None`: it is for people to do, as `why` says.
    pub action: Option<Action>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    CleanUp,
    Vacuum { table: String, freeze: bool },
    Reindex { index: String },
    DropIndex { index: String },
    Seal,
}

impl std::fmt::Display for Action {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Action::CleanUp => f.write_str("run the clean-up"),
            Action::Vacuum { table, freeze: false } => write!(f, "VACUUM (ANALYZE) {table}"),
            Action::Vacuum { table, freeze: true } => write!(f, "VACUUM (FREEZE, ANALYZE) {table}"),
            Action::Reindex { index } => write!(f, "REINDEX INDEX CONCURRENTLY {index}"),
            Action::DropIndex { index } => write!(f, "DROP INDEX CONCURRENTLY {index}"),
            Action::Seal => f.write_str("seal the audit log"),
        }
    }
}

impl Serialize for Action {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Something that was done, or tried.
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    pub action: Action,
    pub seconds: f64,
    /// What went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// As many dead or changed rows as this, and as large a share of the table: autovacuum would have come at less.
const LEAST_ROWS: i64 = 1000;
const SHARE: f64 = 0.2;

/// An index this many times as large as it would settle at, and larger by this many bytes.
const BLOATED: i64 = 2;
const LEAST_WASTE: i64 = 1 << 20;

/// So much beyond the age at which Postgres freezes by itself, in hundredths of it: it does not get to it.
const FREEZE_LATE: i64 = 125;

/// Requests take seconds; the portal's own connections are cut off after 15 seconds of idling in a transaction.
const LONG_TRANSACTION: TimeDelta = TimeDelta::minutes(5);
const LONG_IDLE: TimeDelta = TimeDelta::minutes(1);

/// Rows of the audit log are sealed within seconds.
const LATE_SEAL: TimeDelta = TimeDelta::minutes(1);

/// What REINDEX CONCURRENTLY calls the index that it makes, and the one that it replaces.
const LEFTOVERS: [&str; 2] = ["_ccnew", "_ccold"];

impl Table {
    /// The room that dead rows take, in bytes: their share of all rows, of the table's size. VACUUM makes it good for new
    /// rows. Room that was made good before and is empty is not in it.
    pub fn dead_bytes(&self) -> i64 {
        let rows = i128::from((self.live_rows + self.dead_rows).max(1));
        i64::try_from(i128::from(self.table_bytes) * i128::from(self.dead_rows) / rows).unwrap_or(i64::MAX)
    }
}

impl Index {
    /// Nobody asked it anything since the statistics began, and nothing rests on it.
    pub fn is_unused(&self) -> bool {
        self.scans == 0 && !self.is_unique
    }

    fn waste(&self) -> Option<i64> {
        let expected = self.expected_bytes?;
        let waste = self.bytes - expected;
        (waste >= LEAST_WASTE && self.bytes > expected.saturating_mul(BLOATED)).then_some(waste)
    }

    fn is_leftover(&self) -> bool {
        let name = self.name.trim_end_matches(|last: char| last.is_ascii_digit());
        LEFTOVERS.iter().any(|end| name.ends_with(end))
    }
}

/// Looks at the database, which the connection is the owner's of, and at what to do.
///
/// # Errors
/// The database's.
pub async fn examine(
    conn: &mut PgConnection,
    settings: Settings,
    now: DateTime<Utc>,
) -> sqlx::Result<Report> {
    let retention = cleanup::retention(settings.retention);
    let mut report = Report {
        at: now,
        database: store::whole(conn).await?,
        tables: store::tables(conn).await?,
        indexes: store::indexes(conn).await?,
        open_transactions: store::open_transactions(conn).await?,
        keeping: store::keeping(conn, cleanup::JOB, retention, cleanup::KEEP_EVENTS, now).await?,
        advice: Vec::new(),
    };
    report.advice = advice(&report, settings);
    Ok(report)
}

/// What to do, in the order in which it is done: what deletes first, then what clears away.
fn advice(report: &Report, settings: Settings) -> Vec<Advice> {
    let mut all = Vec::new();
    all.extend(about_transactions(report));
    let cleanup = about_cleanup(report, settings);
    let cleans_up = cleanup.is_some();
    all.extend(cleanup);
    all.extend(about_sealing(report));
    if !report.database.autovacuum {
        all.push(Advice {
            subject: "autovacuum".to_owned(),
            why: "it is switched off: dead rows stay until somebody vacuums; set autovacuum = on".to_owned(),
            action: None,
        });
    }
    all.extend(
        report
            .tables
            .iter()
            .filter_map(|table| about_table(table, report, cleans_up)),
    );
    all.extend(report.indexes.iter().filter_map(about_index));
    all
}

/// The longest of those that were left open, and of those that are at work.
fn about_transactions(report: &Report) -> impl Iterator<Item = Advice> {
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
            "{}: rows that died since then cannot be cleared away, and indexes cannot be made anew. Ask its owner, or end it \
             with SELECT pg_terminate_backend({})",
            told(open, now),
            open.pid
        ),
        action: None,
    })
}

/// Whose transaction it is, and for how long.
pub fn told(open: &OpenTransaction, now: DateTime<Utc>) -> String {
    let application = match &*open.application {
        "" => "without a name",
        name => name,
    };
    let address = open.address.as_deref().unwrap_or("this machine");
    format!(
        "{application} of {}, from {address}, began a transaction {} and is {} since {}",
        open.user,
        ago(open.since, now),
        open.state,
        rfc3339(open.state_since),
    )
}

fn about_cleanup(report: &Report, settings: Settings) -> Option<Advice> {
    let keeping = &report.keeping;
    let interval = TimeDelta::from_std(settings.cleanup_interval).unwrap_or(TimeDelta::MAX);
    let overdue = |then: DateTime<Utc>| report.at - then > interval.checked_mul(2).unwrap_or(interval);
    let seconds = settings.cleanup_interval.as_secs();
    let why = match (keeping.cleanup_started, keeping.cleanup_finished) {
        (None, _) => "it has never run".to_owned(),
        (Some(started), Some(finished)) if overdue(finished) && started > finished => format!(
            "it last finished at {} and has begun since, at {}: the server's log says why it breaks off",
            rfc3339(finished),
            rfc3339(started)
        ),
        (_, Some(finished)) if overdue(finished) => format!(
            "it last finished at {}, and is to run every {seconds} seconds: is a server running?",
            rfc3339(finished)
        ),
        // A long one is left alone.
        (Some(started), None) if overdue(started) => {
            format!(
                "it began at {} and did not finish: the server's log says why",
                rfc3339(started)
            )
        }
        _ => return None,
    };
    Some(Advice {
        subject: "clean-up".to_owned(),
        why: format!(
            "{why}; {} past retention and {} past keeping",
            plural(keeping.sessions_past_retention, "ended session"),
            plural(keeping.events_past_keeping, "event"),
        ),
        action: Some(Action::CleanUp),
    })
}

fn about_sealing(report: &Report) -> Option<Advice> {
    let oldest = report.keeping.oldest_unsealed?;
    (report.at - oldest > LATE_SEAL).then(|| Advice {
        subject: "audit log".to_owned(),
        why: format!(
            "{} not sealed, the oldest of {}: a running server seals within seconds",
            plural(report.keeping.unsealed, "row"),
            rfc3339(oldest)
        ),
        action: Some(Action::Seal),
    })
}

fn about_table(table: &Table, report: &Report, cleans_up: bool) -> Option<Advice> {
    let too_many = |rows: i64| rows >= LEAST_ROWS && rows as f64 > SHARE * table.live_rows as f64;
    // What the clean-up that is advised too will leave behind.
    let about_to_die = if cleans_up {
        match &*table.name {
            "sessions" | "session_networks" => report.keeping.sessions_past_retention,
            "session_events" => report.keeping.events_past_keeping,
            _ => 0,
        }
    } else {
        0
    };
    let freeze_late = table.transaction_age > report.database.freeze_at / 100 * FREEZE_LATE;
    let why = if freeze_late {
        format!(
            "it is {} transactions since its rows were frozen, which autovacuum does at {}: at two thousand million the \
             database stops taking changes",
            table.transaction_age, report.database.freeze_at
        )
    } else if too_many(table.dead_rows) {
        format!(
            "{} dead beside {} live ones, about {} of room that new rows cannot use",
            plural(table.dead_rows, "row"),
            table.live_rows,
            human_bytes(table.dead_bytes()),
        )
    } else if too_many(table.dead_rows + about_to_die) {
        format!("the clean-up deletes {} of it", plural(about_to_die, "row"))
    } else if too_many(table.changed_rows) {
        format!(
            "{} changed since the planner's figures were taken",
            plural(table.changed_rows, "row")
        )
    } else {
        return None;
    };
    Some(Advice {
        subject: table.name.clone(),
        why,
        action: Some(Action::Vacuum {
            table: table.name.clone(),
            freeze: freeze_late,
        }),
    })
}

fn about_index(index: &Index) -> Option<Advice> {
    let name = index.name.clone();
    let (why, action) = if index.is_valid {
        let waste = index.waste()?;
        let why = format!(
            "{}, of which about {} are empty: its entries need {}",
            human_bytes(index.bytes),
            human_bytes(waste),
            human_bytes(index.bytes - waste),
        );
        (why, Action::Reindex { index: name })
    } else if index.is_leftover() {
        let why =
            "it is left over from an index that was to be made anew: kept up by every change, never used";
        (why.to_owned(), Action::DropIndex { index: name })
    } else {
        let why = "its making was cut off: it is kept up by every change and never used";
        (why.to_owned(), Action::Reindex { index: name })
    };
    Some(Advice {
        subject: index.name.clone(),
        why,
        action: Some(action),
    })
}

/// Does what is advised, one after the other, whatever becomes of those before. `before` hears of each as it begins, and
/// `after` of what came of it. The connection is the owner's; what the server does too runs on `database`.
///
/// # Errors
/// The database does not answer at all.
pub async fn apply(
    conn: &mut PgConnection,
    (database, clock): (&Database, &Clock),
    settings: Settings,
    advice: &[Advice],
    mut before: impl FnMut(&Action),
    mut after: impl FnMut(&Step),
) -> sqlx::Result<Vec<Step>> {
    store::limit_waiting(conn).await?;
    let mut steps = Vec::new();
    for action in advice.iter().filter_map(|advice| advice.action.as_ref()) {
        before(action);
        let began = Instant::now();
        let done = perform(conn, database, clock, settings, action).await;
        let step = Step {
            action: action.clone(),
            seconds: began.elapsed().as_secs_f64(),
            problem: done.err().map(|error| error.to_string()),
        };
        after(&step);
        steps.push(step);
    }
    Ok(steps)
}

async fn perform(
    conn: &mut PgConnection,
    database: &Database,
    clock: &Clock,
    settings: Settings,
    action: &Action,
) -> sqlx::Result<()> {
    match action {
        Action::CleanUp => {
            let retention = cleanup::retention(settings.retention);
            jobs::cleanup::once(database, clock, retention, TimeDelta::zero())
                .await
                .map(drop)
        }
        Action::Seal => jobs::seal::once(database, clock).await.map(drop),
        Action::Vacuum { table, freeze } => store::vacuum(conn, table, *freeze).await,
        Action::Reindex { index } => store::reindex(conn, index).await,
        Action::DropIndex { index } => store::drop_index(conn, index).await,
    }
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
mod tests {
    use super::*;

    const SETTINGS: Settings = Settings {
        cleanup_interval: Duration::from_secs(3600),
        retention: Duration::from_secs(30 * 86_400),
    };

    fn table(name: &str) -> Table {
        Table {
            name: name.to_owned(),
            table_bytes: 1 << 20,
            index_bytes: 0,
            live_rows: 10_000,
            dead_rows: 0,
            changed_rows: 0,
            last_vacuum: None,
            last_analyze: None,
            transaction_age: 1_000,
        }
    }

    fn index(name: &str, bytes: i64, expected_bytes: Option<i64>) -> Index {
        Index {
            name: name.to_owned(),
            table: "sessions".to_owned(),
            bytes,
            expected_bytes,
            scans: 0,
            is_unique: false,
            is_valid: true,
        }
    }

    fn open(pid: i32, state: &str, minutes: i64, at: DateTime<Utc>) -> OpenTransaction {
        OpenTransaction {
            pid,
            user: "ops".to_owned(),
            application: "psql".to_owned(),
            address: None,
            state: state.to_owned(),
            since: at - TimeDelta::minutes(minutes),
            state_since: at - TimeDelta::minutes(minutes),
        }
    }

    /// A database that is well.
    fn well() -> Report {
        let at = DateTime::from_timestamp(1_800_000_000, 0).expect("a time");
        Report {
            at,
            database: Whole {
                name: "portal".to_owned(),
                bytes: 1 << 30,
                transaction_age: 1_000,
                freeze_at: 200_000_000,
                autovacuum: true,
                hidden_connections: 0,
            },
            tables: vec![table("sessions"), table("session_events")],
            indexes: vec![index("sessions_pkey", 1 << 20, Some(1 << 20))],
            open_transactions: Vec::new(),
            keeping: Keeping {
                cleanup_started: Some(at - TimeDelta::minutes(61)),
                cleanup_finished: Some(at - TimeDelta::minutes(60)),
                sessions_past_retention: 5_000,
                events_past_keeping: 0,
                unsealed: 3,
                oldest_unsealed: Some(at - TimeDelta::seconds(60)),
            },
            advice: Vec::new(),
        }
    }

    /// What is advised, as subject and action.
    fn advised(change: impl FnOnce(&mut Report)) -> Vec<(String, String)> {
        let mut report = well();
        change(&mut report);
        let told = |advice: Advice| {
            let action = advice
                .action
                .map_or_else(String::new, |action| action.to_string());
            (advice.subject, action)
        };
        advice(&report, SETTINGS).into_iter().map(told).collect()
    }

    fn one(subject: &str, action: &str) -> Vec<(String, String)> {
        vec![(subject.to_owned(), action.to_owned())]
    }

    #[test]
    fn a_database_that_is_well_gets_no_advice() {
        assert_eq!(advised(|_| {}), []);
    }

    #[test]
    fn a_table_is_vacuumed_when_many_of_its_rows_and_a_large_share_are_dead_or_changed() {
        let vacuum = one("sessions", "VACUUM (ANALYZE) sessions");
        assert_eq!(advised(|report| report.tables[0].dead_rows = 2_000), []);
        assert_eq!(advised(|report| report.tables[0].dead_rows = 2_001), vacuum);
        assert_eq!(advised(|report| report.tables[0].changed_rows = 2_001), vacuum);
        let small = |dead: i64| {
            advised(|report| {
                report.tables[0].live_rows = 0;
                report.tables[0].dead_rows = dead;
            })
        };
        assert_eq!((small(999), small(1_000)), (Vec::new(), vacuum));
        assert_eq!(
            Table {
                dead_rows: 10_000,
                ..table("x")
            }
            .dead_bytes(),
            1 << 19
        );
    }

    #[test]
    fn a_table_is_frozen_when_autovacuum_has_not_come_to_it() {
        assert_eq!(
            advised(|report| report.tables[0].transaction_age = 250_000_000),
            []
        );
        let freeze = one("sessions", "VACUUM (FREEZE, ANALYZE) sessions");
        assert_eq!(
            advised(|report| report.tables[0].transaction_age = 250_000_001),
            freeze
        );
    }

    #[test]
    fn a_clean_up_is_due_after_two_intervals_and_what_it_leaves_behind_is_cleared_away() {
        let finished = |seconds: i64| {
            advised(|report| report.keeping.cleanup_finished = Some(report.at - TimeDelta::seconds(seconds)))
        };
        assert_eq!(finished(7_200), []);
        let both = [
            one("clean-up", "run the clean-up"),
            one("sessions", "VACUUM (ANALYZE) sessions"),
        ]
        .concat();
        assert_eq!(finished(7_201), both);
        let why = |report: &Report| {
            about_cleanup(report, SETTINGS)
                .map(|advice| advice.why)
                .unwrap_or_default()
        };
        let mut late = well();
        late.keeping.cleanup_finished = Some(late.at - TimeDelta::hours(3));
        assert!(why(&late).contains("breaks off"), "{}", why(&late));
        late.keeping.cleanup_started = Some(late.at - TimeDelta::hours(4));
        assert!(why(&late).contains("is a server running?"), "{}", why(&late));
        // Under way is not overdue; cut off is.
        assert_eq!(advised(|report| report.keeping.cleanup_finished = None), []);
        let cut_off = advised(|report| {
            report.keeping.cleanup_finished = None;
            report.keeping.cleanup_started = Some(report.at - TimeDelta::days(1));
        });
        assert_eq!(cut_off, both);
    }

    #[test]
    fn rows_that_wait_too_long_are_sealed() {
        let late = |report: &mut Report| {
            report.keeping.oldest_unsealed = Some(report.at - TimeDelta::seconds(61));
        };
        assert_eq!(advised(late), one("audit log", "seal the audit log"));
    }

    #[test]
    fn transactions_are_named_when_they_idle_for_a_minute_or_last_for_five_and_are_left_alone() {
        let told = |state: &'static str, minutes| {
            advised(|report| report.open_transactions = vec![open(7, state, minutes, report.at)])
        };
        assert_eq!(told("active", 4), []);
        assert_eq!(told("active", 5), one("connection 7", ""));
        assert_eq!(told("idle in transaction", 1), one("connection 7", ""));
        assert_eq!(told("idle in transaction (aborted)", 1), one("connection 7", ""));
        let of_two = advised(|report| {
            report.open_transactions = vec![
                open(1, "active", 60, report.at),
                open(2, "idle in transaction", 3, report.at),
            ];
        });
        assert_eq!(
            of_two,
            [one("connection 2", ""), one("connection 1", "")].concat()
        );
    }

    #[test]
    fn an_index_is_made_anew_when_it_is_empty_or_no_good_and_a_leftover_is_dropped() {
        let of = |index: Index| advised(|report| report.indexes = vec![index]);
        assert_eq!(of(index("i", 2 << 20, Some(1 << 20))), []);
        assert_eq!(of(index("i", 3 << 20, None)), []);
        assert_eq!(of(index("i", 900_000, Some(1))), []);
        assert_eq!(
            of(index("i", 3 << 20, Some(1 << 20))),
            one("i", "REINDEX INDEX CONCURRENTLY i")
        );
        let invalid = |name| Index {
            is_valid: false,
            ..index(name, 8192, None)
        };
        assert_eq!(of(invalid("i")), one("i", "REINDEX INDEX CONCURRENTLY i"));
        assert_eq!(
            of(invalid("i_ccnew")),
            one("i_ccnew", "DROP INDEX CONCURRENTLY i_ccnew")
        );
        assert_eq!(
            of(invalid("i_ccold12")),
            one("i_ccold12", "DROP INDEX CONCURRENTLY i_ccold12")
        );
    }

    #[test]
    fn sizes_are_told_in_the_largest_unit_that_fits() {
        for (bytes, words) in [
            (0, "0 bytes"),
            (1023, "1023 bytes"),
            (1024, "1.0 KiB"),
            (3 << 29, "1.5 GiB"),
        ] {
            assert_eq!(human_bytes(bytes), words);
        }
    }
}
