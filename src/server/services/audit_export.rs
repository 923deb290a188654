//! Exports the audit log, one JSON object per line, for archives and investigations.

use std::io::{self, Write};

use chrono::{DateTime, SecondsFormat, Utc};
use data_encoding::HEXLOWER;
use domain::{
    audit::AuditFilter,
    ids::{OrganizationId, SessionId, UserId},
    plain_text::is_forbidden,
};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::server::{
    database::Database,
    store::{
        audit_chain,
        audit_log::{self, AuditLogRow, AuditSelection},
        users,
    },
};

/// Rows in memory at once.
const PAGE: i64 = 1000;

/// Why an export failed. Displayed as one line.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    #[error("there is no account {0}")]
    NoSuchUser(String),
    #[error("the database did not respond: {0}")]
    Database(#[from] sqlx::Error),
    #[error("cannot write: {0}")]
    Output(#[from] io::Error),
}

/// A row of the audit log. Missing values are `null`.
// The field names are public.
#[derive(Serialize, ToSchema)]

pub struct AuditRow<'a> {
    id: i64,
    /// RFC 3339 in UTC with microseconds, as hashed.
    at: String,
    /// The kind of event, for example `session_ended`.
    kind: &'a str,
    /// The acting user; `null` if time or a rule caused the event.
    actor_id: Option<UserId>,
    /// The actor's current email, if the caller may see this user.
    actor_email: Option<&'a str>,
    actor_session_id: Option<SessionId>,
    /// The active organization of the actor's session, if the caller may see it.
    actor_organization_id: Option<OrganizationId>,
    /// The affected user.
    user_id: Option<UserId>,
    user_email: Option<&'a str>,
    /// The affected session.
    session_id: Option<SessionId>,
    ip_address: Option<&'a str>,
    reason: Option<&'a str>,
    /// Details of this kind of event. Never a credential.
    #[schema(value_type = std::collections::HashMap<String, Value>)]
    detail: &'a Value,
    /// Position in the chain; `null` until the row is sealed, usually within a second.
    position: Option<i64>,
    /// In the format of `at`.
    sealed_at: Option<String>,
    /// Hash of this row and all earlier ones, in hexadecimal digits.
    hash: Option<String>,
}

/// Some lines of an export, and the position after them.
pub struct ExportPage {
    pub text: String,
    pub count: u64,
    pub after: i64,
}

/// The position before the first row.
pub const START: i64 = i64::MIN;

/// The next lines after the row `after`, ordered by id. `None`: no more rows.
///
/// # Errors
/// Database errors.
pub async fn export_page(
    database: &Database,
    selection: AuditSelection<'_>,
    after: i64,
) -> Result<Option<ExportPage>, ExportError> {
    // One transaction per page, so that a slow reader holds none open.
    let mut tx = database.begin_snapshot().await?;
    audit_chain::lift_time_limit(&mut tx).await?;
    let page = audit_log::load_after(&mut tx, selection, after, PAGE).await?;
    tx.commit().await?;
    let Some(last) = page.last() else {
        return Ok(None);
    };
    let mut text = String::new();
    for row in &page {
        text.push_str(&to_json_line(row)?);
        text.push('\n');
    }
    Ok(Some(ExportPage {
        text,
        count: page.len() as u64,
        after: last.id,
    }))
}

/// Writes all rows that the filter selects, ordered by id, and returns their number. `user` is the email of the affected user.
///
/// # Errors
/// [`ExportError`]. Lines before the error are written.
pub async fn export(
    database: &Database,
    filter: &AuditFilter,
    user: Option<&str>,
    out: &mut impl Write,
) -> Result<u64, ExportError> {
    let about = match user {
        None => None,
        Some(email) => {
            let found = users::find_by_email(&mut *database.connection().await?, email).await?;
            Some(found.ok_or_else(|| ExportError::NoSuchUser(email.to_owned()))?.id)
        }
    };
    let selection = AuditSelection {
        filter,
        organization: None,
        about,
        session: None,
    };
    let (mut written, mut after) = (0, START);
    while let Some(lines) = export_page(database, selection, after).await? {
        out.write_all(lines.text.as_bytes())?;
        written += lines.count;
        after = lines.after;
    }
    out.flush()?;
    Ok(written)
}

/// One row as a line without line end.
///
/// # Errors
/// The row cannot be serialized.
pub fn to_json_line(row: &AuditLogRow) -> io::Result<String> {
    let exact = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Micros, true);
    let text = serde_json::to_string(&AuditRow {
        id: row.id,
        at: exact(row.at),
        kind: &row.kind,
        actor_id: row.actor_id,
        actor_email: row.actor_email.as_deref(),
        actor_session_id: row.actor_session_id,
        actor_organization_id: row.actor_organization_id,
        user_id: row.user_id,
        user_email: row.user_email.as_deref(),
        session_id: row.session_id,
        ip_address: row.ip_address.as_deref(),
        reason: row.reason.as_deref(),
        detail: &row.detail,
        position: row.position,
        sealed_at: row.sealed_at.map(exact),
        hash: row.hash.as_deref().map(|hash| HEXLOWER.encode(hash)),
    })?;
    Ok(escape_control_characters(&text))
}

/// Escapes characters that JSON allows unescaped, but that some programs and terminals interpret as line ends, commands or
/// changes of direction.
fn escape_control_characters(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        if is_forbidden(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                escaped.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            escaped.push(c);
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exported_lines_contain_no_control_characters() {
        let hostile = "a\nb\r\u{b}\u{85}\u{2028}\u{9b}31m\u{7f}\u{202e}\u{200b}\u{10fffd}\"\\";
        let line = escape_control_characters(&Value::from(hostile).to_string());
        assert!(!line.contains(is_forbidden), "{line:?}");
        assert_eq!(
            serde_json::from_str::<Value>(&line).expect("JSON"),
            Value::from(hostile)
        );
    }
}
