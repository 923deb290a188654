//! `broker-portal sessions ...`

use std::io::Write;

use chrono::TimeDelta;
use clap::{Args, Subcommand};
use serde_json::json;

use super::CommandError;
use crate::{
    domain::{
        ids::SessionId,
        time::{plural, rfc3339},
    },
    server::{
        config::Config,
        jobs,
        serve::StartError,
        services::{accounts::Accounts, cleanup},
    },
};

#[derive(Subcommand)]
pub enum Command {
    /// List live sessions, most recently active first
    List {
        /// Only this person's
        #[arg(long, value_name = "EMAIL")]
        user: Option<String>,
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// End live sessions at once
    Revoke(Revoke),
    /// End what has run out and delete what is past keeping, as the server does every PORTAL_CLEANUP_INTERVAL seconds
    Cleanup,
}

#[derive(Args)]
pub struct Revoke {
    #[command(flatten)]
    which: Which,
    /// What the people read at sign-in, at most 200 characters
    #[arg(long)]
    reason: Option<String>,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct Which {
    /// Everything of this person
    #[arg(long, value_name = "EMAIL")]
    user: Option<String>,
    /// This one session
    #[arg(long)]
    id: Option<SessionId>,
    /// Everything of everyone
    #[arg(long)]
    all: bool,
}

pub async fn run(command: &Command, accounts: &Accounts, config: &Config) -> Result<(), CommandError> {
    match command {
        Command::Cleanup => cleanup(accounts, config).await,
        Command::List { user, json } => list(accounts, user.as_deref(), *json).await,
        Command::Revoke(revoke) => {
            let note = note(revoke.reason.as_deref())?;
            let ended = match (&revoke.which.user, revoke.which.id) {
                (Some(user), _) => accounts.revoke_user(user, note).await?,
                (None, Some(id)) => {
                    accounts.revoke_session(id, note).await?;
                    1
                }
                (None, None) => accounts.revoke_everyone(note).await?,
            };
            println!(
                "{} ended.",
                plural(i64::try_from(ended).unwrap_or(i64::MAX), "session")
            );
            Ok(())
        }
    }
}

async fn cleanup(accounts: &Accounts, config: &Config) -> Result<(), CommandError> {
    let retention = cleanup::retention(config.retention);
    // Whenever the last one was: someone has asked for it.
    let report = jobs::cleanup::once(&accounts.database, &accounts.clock, retention, TimeDelta::zero())
        .await
        .map_err(StartError::from)?
        .unwrap_or_default();
    let rows = |count: u64, what: &str| plural(i64::try_from(count).unwrap_or(i64::MAX), what);
    println!("{} had run out and ended.", rows(report.ended, "session"));
    println!(
        "{} past retention deleted.",
        rows(report.sessions_deleted, "session")
    );
    println!(
        "{}, {}, {} and {} deleted; {} erased.",
        rows(report.events_deleted, "event"),
        rows(report.attempts_deleted, "counter"),
        rows(report.known_browsers_forgotten, "known browser"),
        rows(report.devices_forgotten, "device"),
        rows(report.salts_erased, "salt"),
    );
    Ok(())
}

fn note(reason: Option<&str>) -> Result<Option<&str>, CommandError> {
    let reason = reason.map(str::trim).filter(|reason| !reason.is_empty());
    if reason.is_some_and(|reason| reason.chars().count() > 200 || reason.chars().any(char::is_control)) {
        return Err(CommandError::Usage(
            "a reason has at most 200 characters and no line breaks".to_owned(),
        ));
    }
    Ok(reason)
}

async fn list(accounts: &Accounts, user: Option<&str>, as_json: bool) -> Result<(), CommandError> {
    let listed = accounts.list_sessions(user).await?;
    let mut out = std::io::stdout().lock();
    for entry in &listed {
        let session = &entry.session;
        if as_json {
            let mut line = json!(session);
            line["email"] = json!(entry.email);
            line["role"] = json!(entry.role);
            writeln!(out, "{line}")?;
        } else {
            writeln!(
                out,
                "{}  {:<28} {:<8} {:<28} {:<16} {}",
                session.id,
                entry.email,
                session.kind.as_str(),
                session.device_name,
                session.ip_address,
                rfc3339(session.last_active_at),
            )?;
        }
    }
    if !as_json && listed.is_empty() {
        writeln!(out, "No one is signed in.")?;
    }
    Ok(())
}
