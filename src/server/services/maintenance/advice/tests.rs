use std::time::Duration;

use super::*;
use crate::server::store::maintenance::{DatabaseOverview, PendingCleanup};

const SETTINGS: MaintenanceSettings = MaintenanceSettings {
    cleanup_interval: Duration::from_secs(3600),
    retention: Duration::from_secs(30 * 86_400),
};

fn table(name: &str) -> TableStats {
    TableStats {
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

fn index(name: &str, bytes: i64, expected_bytes: Option<i64>) -> IndexStats {
    IndexStats {
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
fn well() -> MaintenanceReport {
    let at = DateTime::from_timestamp(1_800_000_000, 0).expect("a time");
    MaintenanceReport {
        at,
        database: DatabaseOverview {
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
        keeping: PendingCleanup {
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
fn advised(change: impl FnOnce(&mut MaintenanceReport)) -> Vec<(String, String)> {
    let mut report = well();
    change(&mut report);
    let told = |advice: Advice| {
        let action = advice
            .action
            .map_or_else(String::new, |action| action.to_string());
        (advice.subject, action)
    };
    advise(&report, SETTINGS).into_iter().map(told).collect()
}

fn one(subject: &str, action: &str) -> Vec<(String, String)> {
    vec![(subject.to_owned(), action.to_owned())]
}

#[test]
fn healthy_database_gets_no_advice() {
    assert_eq!(advised(|_| {}), []);
}

#[test]
fn vacuum_needs_many_rows_and_a_large_share() {
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
        TableStats {
            dead_rows: 10_000,
            ..table("x")
        }
        .dead_bytes(),
        1 << 19
    );
}

#[test]
fn table_that_autovacuum_missed_is_frozen() {
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
fn cleanup_is_due_after_two_intervals() {
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
    let why = |report: &MaintenanceReport| {
        check_cleanup(report, SETTINGS)
            .map(|advice| advice.why)
            .unwrap_or_default()
    };
    let mut late = well();
    late.keeping.cleanup_finished = Some(late.at - TimeDelta::hours(3));
    assert!(why(&late).contains("started again"), "{}", why(&late));
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
fn unsealed_rows_are_sealed_after_their_limit() {
    let late = |report: &mut MaintenanceReport| {
        report.keeping.oldest_unsealed = Some(report.at - TimeDelta::seconds(61));
    };
    assert_eq!(advised(late), one("audit log", "seal the audit log"));
}

#[test]
fn long_transactions_are_reported_and_left_alone() {
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
fn bad_indexes_are_rebuilt_and_leftovers_dropped() {
    let of = |index: IndexStats| advised(|report| report.indexes = vec![index]);
    assert_eq!(of(index("i", 2 << 20, Some(1 << 20))), []);
    assert_eq!(of(index("i", 3 << 20, None)), []);
    assert_eq!(of(index("i", 900_000, Some(1))), []);
    assert_eq!(
        of(index("i", 3 << 20, Some(1 << 20))),
        one("i", "REINDEX INDEX CONCURRENTLY i")
    );
    let invalid = |name| IndexStats {
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
fn sizes_use_the_largest_fitting_unit() {
    for (bytes, words) in [
        (0, "0 bytes"),
        (1023, "1023 bytes"),
        (1024, "1.0 KiB"),
        (3 << 29, "1.5 GiB"),
    ] {
        assert_eq!(human_bytes(bytes), words);
    }
}
