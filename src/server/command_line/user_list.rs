//! `broker-portal user list`: the same list as on the page People.

use std::io::{BufWriter, Write as _};

use clap::Args;
use serde_json::{Value, json};

use super::CommandError;
use domain::{
    admin::{LastActive, ListedUser},
    plain_text::clean,
    time::format_rfc3339,
    user::Role,
};

use crate::server::{output::stdout, services::accounts::Accounts};

#[derive(Args)]
pub struct List {
    /// Only members of this organization, with their role there
    #[arg(long, value_name = "NAME")]
    organization: Option<String>,
    /// Print one JSON object per line
    #[arg(long)]
    json: bool,
}

pub async fn run(list: &List, accounts: &Accounts) -> Result<(), CommandError> {
    let mut out = BufWriter::new(stdout());
    let mut after = None;
    let mut is_empty = true;
    loop {
        let page = accounts
            .list_users(list.organization.as_deref(), after.as_ref())
            .await?;
        for listed in &page.people {
            if list.json {
                writeln!(out, "{}", object(listed))?;
            } else {
                if is_empty {
                    writeln!(
                        out,
                        "{:<32} {:<24} {:<25} {:>8}  {:<24} role",
                        "email", "name", "state", "sessions", "last active"
                    )?;
                }
                writeln!(out, "{}", row(listed))?;
            }
            is_empty = false;
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    if is_empty && !list.json {
        match &list.organization {
            Some(name) => writeln!(out, "Nobody belongs to {}.", clean(name))?,
            None => writeln!(
                out,
                "There are no users. `broker-portal user create` makes the first."
            )?,
        }
    }
    out.flush()?;
    Ok(())
}

fn row(listed: &ListedUser) -> String {
    let last_active = match listed.last_active {
        LastActive::At(at) => format_rfc3339(at),
        LastActive::BeforeRetention => "before the retention time".to_owned(),
        LastActive::Never => "never".to_owned(),
    };
    format!(
        "{:<32} {:<24} {:<25} {:>8}  {last_active:<24} {}",
        clean(&listed.user.email),
        clean(&listed.user.display_name),
        listed.status.label(),
        listed.live,
        roles(listed)
    )
}

fn roles(listed: &ListedUser) -> String {
    if listed.memberships.is_empty() || listed.user.role == Role::SystemAdmin {
        return listed.user.role.as_str().to_owned();
    }
    let each = listed.memberships.iter().map(|membership| {
        format!(
            "{} at {}",
            membership.role.as_str(),
            clean(&membership.organization.name)
        )
    });
    each.collect::<Vec<_>>().join(", ")
}

fn object(listed: &ListedUser) -> Value {
    let last_active_at = match listed.last_active {
        LastActive::At(at) => Some(format_rfc3339(at)),
        LastActive::BeforeRetention | LastActive::Never => None,
    };
    json!({
        "id": listed.user.id,
        "email": listed.user.email,
        "display_name": listed.user.display_name,
        "role": listed.user.role,
        "memberships": listed.memberships,
        "state": listed.status.as_str(),
        "live_sessions": listed.live,
        "last_active_at": last_active_at,
    })
}
