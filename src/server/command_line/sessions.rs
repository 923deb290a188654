//! `broker-portal sessions ...`

use std::io::Write;

use clap::{Args, Subcommand};
use serde_json::json;

use super::CommandError;
use crate::{
    domain::{
        ids::SessionId,
        time::{plural, rfc3339},
    },
    server::services::accounts::Accounts,
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

pub async fn run(command: &Command, accounts: &Accounts) -> Result<(), CommandError> {
    match command {
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
