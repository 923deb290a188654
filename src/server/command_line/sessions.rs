//! `broker-portal sessions ...`

use std::io::{BufWriter, IsTerminal as _, Write as _};

use chrono::TimeDelta;
use clap::{Args, Subcommand};
use serde_json::json;

use super::CommandError;
use domain::{
    ids::SessionId,
    plain_text::{clean, parse_line},
    time::{format_rfc3339, pluralize},
};

use crate::server::{
    config::Config,
    output::{print_line, report_line, stdout},
    serve::StartError,
    services::{
        accounts::{Accounts, RevokeTarget},
        admin::revoke::MAX_NOTE,
        cleanup,
    },
};

#[derive(Subcommand)]
pub enum Command {
    /// List live sessions, most recently active first
    List {
        /// Only sessions of this user (email)
        #[arg(long, value_name = "EMAIL")]
        user: Option<String>,
        /// Print one JSON object per line
        #[arg(long)]
        json: bool,
    },
    /// Revoke live sessions
    Revoke(Revoke),
    /// Record expired sessions and delete old rows, as the server does every PORTAL_CLEANUP_INTERVAL seconds
    Cleanup,
}

#[derive(Args)]
pub struct Revoke {
    #[command(flatten)]
    target: Target,
    #[arg(long, help = format!("Reason shown to the users at sign-in, at most {MAX_NOTE} characters"))]
    reason: Option<String>,
    /// Only count the sessions, without revoking them
    #[arg(long)]
    dry_run: bool,
    /// Do not ask for confirmation with --all
    #[arg(long)]
    yes: bool,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct Target {
    /// All sessions of this user (email)
    #[arg(long, value_name = "EMAIL")]
    user: Option<String>,
    /// The session with this id
    #[arg(long, value_parser = parse_session_id)]
    id: Option<SessionId>,
    /// All sessions of all users. Asks for the number of sessions, or needs --yes without a terminal
    #[arg(long)]
    all: bool,
}

fn parse_session_id(text: &str) -> Result<SessionId, String> {
    text.parse()
        .map_err(|_| "not a session id; list session ids with `broker-portal sessions list`".to_owned())
}

impl Target {
    fn to_revoke_target(&self) -> RevokeTarget<'_> {
        match (&self.user, self.id) {
            (Some(email), _) => RevokeTarget::User(email),
            (None, Some(id)) => RevokeTarget::Session(id),
            (None, None) => RevokeTarget::Everyone,
        }
    }
}

pub async fn run(command: &Command, accounts: &Accounts, config: &Config) -> Result<(), CommandError> {
    match command {
        Command::Cleanup => cleanup(accounts, config).await,
        Command::List { user, json } => list(accounts, user.as_deref(), *json).await,
        Command::Revoke(revoke) => self::revoke(revoke, accounts).await,
    }
}

async fn revoke(revoke: &Revoke, accounts: &Accounts) -> Result<(), CommandError> {
    let note = parse_note(revoke.reason.as_deref())?;
    let target = revoke.target.to_revoke_target();
    if revoke.dry_run {
        let live = accounts.count_live(target).await?;
        print_line!("{} would end. Nothing was changed.", pluralize(live, "session"))?;
        return Ok(());
    }
    if matches!(target, RevokeTarget::Everyone) && !revoke.yes {
        confirm(accounts.count_live(target).await?)?;
    }
    let ended = accounts.revoke(target, note.as_deref()).await?;
    print_line!(
        "{} ended.",
        pluralize(i64::try_from(ended).unwrap_or(i64::MAX), "session")
    )?;
    Ok(())
}

/// Asks the operator to type the number of sessions before everyone is signed out.
fn confirm(live: i64) -> Result<(), CommandError> {
    let input = std::io::stdin();
    if !input.is_terminal() {
        return Err(CommandError::Usage(format!(
            "revoking all sessions (now {live}) requires a confirmation, but there is no terminal; no session was ended. \
             Confirm with --yes, or count with --dry-run"
        )));
    }
    report_line!(
        "This ends {} of all users, including administrators. Type the number of sessions to continue:",
        pluralize(live, "session")
    );
    let mut typed = String::new();
    input.read_line(&mut typed).map_err(CommandError::Input)?;
    if typed.trim() != live.to_string() {
        return Err(CommandError::Usage(format!(
            "the number does not match ({live}); no session was ended"
        )));
    }
    Ok(())
}

async fn cleanup(accounts: &Accounts, config: &Config) -> Result<(), CommandError> {
    let retention = cleanup::retention(config.retention);
    // Interval 0: run now, whenever the last run was.
    let report =
        cleanup::run_unless_recent(&accounts.database, &accounts.clock, retention, TimeDelta::zero())
            .await
            .map_err(StartError::from)?
            .unwrap_or_default();
    let rows = |count: u64, what: &str| pluralize(i64::try_from(count).unwrap_or(i64::MAX), what);
    print_line!("{} expired.", rows(report.ended, "session"))?;
    print_line!(
        "{} past retention deleted.",
        rows(report.sessions_deleted, "session")
    )?;
    print_line!(
        "{}, {}, {} and {} deleted; {} erased.",
        rows(report.events_deleted, "event"),
        rows(report.attempts_deleted, "counter"),
        rows(report.known_browsers_forgotten, "known browser"),
        rows(report.devices_forgotten, "device"),
        rows(report.salts_erased, "salt"),
    )?;
    Ok(())
}

fn parse_note(reason: Option<&str>) -> Result<Option<String>, CommandError> {
    let read = |reason| parse_line(reason, MAX_NOTE);
    let note = reason.map(read).transpose().map_err(|problem| {
        CommandError::Usage(format!(
            "the reason {problem}; write one line of at most {MAX_NOTE} characters"
        ))
    })?;
    Ok(note.flatten())
}

async fn list(accounts: &Accounts, user: Option<&str>, as_json: bool) -> Result<(), CommandError> {
    let listed = accounts.list_sessions(user).await?;
    let mut out = BufWriter::new(stdout().lock());
    for (user, session) in &listed {
        if as_json {
            let mut line = json!(session);
            line["email"] = json!(user.email);
            line["role"] = json!(user.role);
            writeln!(out, "{line}")?;
        } else {
            writeln!(
                out,
                "{}  {:<28} {:<8} {:<28} {:<16} {}",
                session.id,
                clean(&user.email),
                session.kind.as_str(),
                clean(&session.device_name),
                session.ip_address,
                format_rfc3339(session.last_active_at),
            )?;
        }
    }
    if !as_json && listed.is_empty() {
        writeln!(out, "No one is signed in.")?;
    }
    out.flush()?;
    Ok(())
}
