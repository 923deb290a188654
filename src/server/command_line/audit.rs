//! `broker-portal audit ...`

use std::io::{BufWriter, Write as _};

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};

use super::CommandError;
use domain::{
    audit::{AuditFilter, AuditKind},
    time::{format_rfc3339, parse_time, pluralize},
};

use crate::server::{
    database::Database,
    output::{report_line, stdout},
    services::{
        audit_chain::ChainHead,
        audit_export::{ExportError, export},
        audit_verification::{VerificationReport, verify},
    },
};

#[derive(Subcommand)]
pub enum Command {
    /// Verify that no row of the audit log was changed, removed or inserted
    Verify {
        /// A head noted earlier. It must be in the chain, or the end of the chain was cut off
        #[arg(long, value_name = "POSITION:HASH")]
        head: Option<ChainHead>,
    },
    /// Export the audit log, one JSON object per line
    Export(Export),
}

#[derive(Args)]
pub struct Export {
    /// Only events at or after this time (RFC 3339)
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<DateTime<Utc>>,
    /// Only events before this time (RFC 3339)
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<DateTime<Utc>>,
    /// Only events by this user or about this user
    #[arg(long, value_name = "EMAIL")]
    user: Option<String>,
    /// Only events of this kind, such as session_ended
    #[arg(long, value_parser = kind)]
    kind: Option<AuditKind>,
}

pub async fn run(command: Command, database: &Database) -> Result<(), CommandError> {
    match command {
        Command::Verify { head } => {
            let now = database.time().await.map_err(ExportError::from)?;
            print_report(&verify(database, now, head).await.map_err(ExportError::from)?)
        }
        Command::Export(which) => {
            if which
                .since
                .zip(which.until)
                .is_some_and(|(since, until)| since > until)
            {
                return Err(CommandError::Usage("--since is later than --until".to_owned()));
            }
            let filter = AuditFilter {
                since: which.since,
                until: which.until,
                kind: which.kind,
                ..AuditFilter::default()
            };
            let mut out = BufWriter::new(stdout());
            match export(database, &filter, which.user.as_deref(), &mut out).await {
                Ok(0) => {
                    report_line!("No row matches.");
                    Ok(())
                }
                Err(ExportError::Output(error)) => Err(error.into()),
                done => Ok(done.map(drop)?),
            }
        }
    }
}

fn print_report(verdict: &VerificationReport) -> Result<(), CommandError> {
    let mut out = stdout().lock();
    for problem in &verdict.problems {
        writeln!(out, "{problem}")?;
    }
    let found = verdict.problems.len() + verdict.unlisted;
    if found > 0 {
        let found = pluralize(i64::try_from(found).unwrap_or(i64::MAX), "problem");
        return Err(CommandError::AuditLog(match verdict.unlisted {
            0 => found,
            unlisted => format!("{found}, {unlisted} of which are not listed"),
        }));
    }
    let sealed = pluralize(verdict.sealed, "row");
    match verdict.span {
        None => writeln!(out, "The audit log is intact: no row is sealed yet.")?,
        Some((first, last)) => writeln!(
            out,
            "The audit log is intact: {sealed} sealed, from {} to {}.",
            format_rfc3339(first),
            format_rfc3339(last),
        )?,
    }
    writeln!(out, "Waiting to be sealed: {}.", verdict.waiting)?;
    writeln!(out, "Head: {}", verdict.head.unwrap_or(ChainHead::START))?;
    Ok(())
}

fn time(text: &str) -> Result<DateTime<Utc>, String> {
    parse_time(text)
        .ok_or_else(|| "a time is written like 2026-11-20T17:42:03Z or 2026-11-20T19:42:03+02:00".to_owned())
}

fn kind(text: &str) -> Result<AuditKind, String> {
    text.parse()
        .map_err(|_| format!("kinds are {}", AuditKind::NAMES.join(", ")))
}
