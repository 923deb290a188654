//! `broker-portal maintenance`

use std::{
    cell::RefCell,
    io::{self, Write},
};

use chrono::{DateTime, Utc};
use clap::Args;
use serde_json::json;

use super::CommandError;
use domain::time::{format_rfc3339, pluralize};

use crate::server::{
    config::Config,
    database::Database,
    output::{print_line, stdout},
    serve::StartError,
    services::maintenance::{
        self, ActionResult, MaintenanceReport, MaintenanceSettings, describe_transaction, human_bytes,
    },
};

#[derive(Args)]
pub struct Maintenance {
    /// Follow the advice, and print the duration of each step. Never ends a connection
    #[arg(long)]
    apply: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub async fn run(asked: &Maintenance, database: &Database, config: &Config) -> Result<(), CommandError> {
    let pending = database.pending_migrations().await;
    if !matches!(pending, Ok(0)) {
        return Err(CommandError::NotMigrated);
    }
    let settings = MaintenanceSettings {
        cleanup_interval: config.cleanup_interval,
        retention: config.retention,
    };
    let clock = database.clock().await.map_err(StartError::from)?;
    let mut conn = database
        .connect_without_limits()
        .await
        .map_err(StartError::from)?;
    let report = maintenance::inspect(&mut conn, settings, clock.now())
        .await
        .map_err(StartError::from)?;
    if !asked.json {
        print_report(&report, &mut stdout().lock())?;
    }
    let mut steps = Vec::new();
    if asked.apply {
        let said = RefCell::new(Ok(()));
        let say = |line: String| {
            // If the output fails, the steps continue, and the command fails at the end.
            let mut said = said.borrow_mut();
            if !asked.json && said.is_ok() {
                *said = print_line!("{line}");
            }
        };
        steps = maintenance::apply_advice(
            &mut conn,
            (database, &clock),
            settings,
            &report.advice,
            |action| say(format!("{action} ...")),
            |step| say(outcome(step)),
        )
        .await
        .map_err(StartError::from)?;
        said.into_inner()?;
    }
    if asked.json {
        let mut all = json!(report);
        if asked.apply {
            all["applied"] = json!(steps);
        }
        print_line!("{all}")?;
    }
    match steps.iter().filter(|step| step.problem.is_some()).count() {
        0 => Ok(()),
        failed => Err(CommandError::StepsFailed(failed)),
    }
}

fn outcome(step: &ActionResult) -> String {
    match &step.problem {
        None => format!("  done in {:.1} s", step.seconds),
        Some(problem) => format!("  failed after {:.1} s: {problem}", step.seconds),
    }
}

fn print_report(report: &MaintenanceReport, out: &mut impl Write) -> io::Result<()> {
    let whole = &report.database;
    writeln!(
        out,
        "Database {}: {} ({} bytes)\n",
        whole.name,
        human_bytes(whole.bytes),
        whole.bytes
    )?;
    print_tables(report, out)?;
    print_indexes(report, out)?;
    print_cleanup(report, out)?;
    if report.advice.is_empty() {
        return writeln!(out, "No problems found.");
    }
    writeln!(out, "Advice")?;
    for advice in &report.advice {
        writeln!(out, "- {}: {}", advice.subject, advice.why)?;
        match &advice.action {
            Some(action) => writeln!(out, "  --apply: {action}")?,
            None => writeln!(out, "  --apply: nothing")?,
        }
    }
    Ok(())
}

fn print_tables(report: &MaintenanceReport, out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "{:<20} {:>14} {:>10} {:>10} {:>11} {:>9} {:>10}  {:<24}  last analyze",
        "Table", "bytes", "table", "indexes", "live rows", "dead", "dead size", "last vacuum"
    )?;
    for table in &report.tables {
        writeln!(
            out,
            "{:<20} {:>14} {:>10} {:>10} {:>11} {:>9} {:>10}  {:<24}  {}",
            table.name,
            table.table_bytes + table.index_bytes,
            human_bytes(table.table_bytes),
            human_bytes(table.index_bytes),
            table.live_rows,
            table.dead_rows,
            human_bytes(table.dead_bytes()),
            time(table.last_vacuum),
            time(table.last_analyze),
        )?;
    }
    writeln!(
        out,
        "Dead size: the share of dead rows in the size of the table, without space that is already free.\n"
    )
}

fn print_indexes(report: &MaintenanceReport, out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "{:<36} {:>14} {:>10} {:>10} {:>12}",
        "Index", "bytes", "size", "fresh", "uses"
    )?;
    for index in &report.indexes {
        let remark = match (index.is_valid, index.is_unused()) {
            (false, _) => "  invalid",
            (true, true) => "  unused",
            (true, false) => "",
        };
        writeln!(
            out,
            "{:<36} {:>14} {:>10} {:>10} {:>12}{remark}",
            index.name,
            index.bytes,
            human_bytes(index.bytes),
            index.expected_bytes.map_or_else(|| "-".to_owned(), human_bytes),
            index.scans,
        )?;
    }
    writeln!(
        out,
        "Fresh: expected size after a rebuild. Unused: since the statistics of this server were reset.\n"
    )
}

fn print_cleanup(report: &MaintenanceReport, out: &mut impl Write) -> io::Result<()> {
    let open = &report.open_transactions;
    let idle = open
        .iter()
        .filter(|open| open.state.starts_with("idle in transaction"))
        .min_by_key(|open| open.state_since);
    let name = |open: Option<&_>| match open {
        Some(open) => describe_transaction(open, report.at),
        None => "none".to_owned(),
    };
    writeln!(out, "Oldest transaction: {}", name(open.first()))?;
    writeln!(out, "Oldest idle in transaction: {}", name(idle))?;
    let whole = &report.database;
    if whole.hidden_connections > 0 {
        writeln!(
            out,
            "Hidden from this role: {} (needs GRANT pg_read_all_stats)",
            pluralize(whole.hidden_connections, "connection")
        )?;
    }
    writeln!(
        out,
        "Transaction ids: {} since the oldest frozen row; automatic freeze at {}, limit 2000000000",
        whole.transaction_age, whole.freeze_at
    )?;
    let keeping = &report.keeping;
    writeln!(
        out,
        "Clean-up: last finished {}; {} and {} past retention",
        time(keeping.cleanup_finished),
        pluralize(keeping.sessions_past_retention, "ended session"),
        pluralize(keeping.events_past_keeping, "event"),
    )?;
    writeln!(
        out,
        "Audit log: {} not sealed yet\n",
        pluralize(keeping.unsealed, "row")
    )
}

fn time(time: Option<DateTime<Utc>>) -> String {
    time.map_or_else(|| "never".to_owned(), format_rfc3339)
}
