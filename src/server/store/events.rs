//! The event log. Every node reads it to tell clients what changed.

use chrono::{DateTime, Utc};

use super::sessions::EndRecord;
use crate::server::database::Connection;
use domain::{
    ids::{SessionId, UserId},
    session::EndReason,
};

/// The channel on which NOTIFY wakes listeners. The payload is empty: the log contains the events.
pub const CHANNEL: &str = "session_events";

/// Publishes that sessions of a user ended, then that the user's list changed. NOTIFY is sent at commit.
pub async fn publish_sessions_ended(
    conn: &mut Connection,
    user: UserId,
    ended: &[EndRecord],
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let ids: Vec<SessionId> = ended.iter().map(|ended| ended.session).collect();
    let reasons: Vec<EndReason> = ended.iter().map(|ended| ended.reason).collect();
    sqlx::query!(
        "
        INSERT INTO session_events (at, user_id, session_id, kind, reason)
        SELECT $1, $2, e.id, 'session_ended', e.reason FROM unnest($3::uuid[], $4::text[]) AS e (id, reason)
        ",
        now,
        user as _,
        ids as _,
        reasons as _,
    )
    .execute(&mut *conn)
    .await?;
    publish_sessions_changed(conn, user, now).await
}

/// Publishes that a user's list of sessions changed. NOTIFY is sent at commit.
pub async fn publish_sessions_changed(
    conn: &mut Connection,
    user: UserId,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "
        WITH event AS (INSERT INTO session_events (at, user_id, kind) VALUES ($1, $2, 'sessions_changed'))
        SELECT pg_notify($3, '')::text
        ",
        now,
        user as _,
        CHANNEL,
    )
    .fetch_one(conn)
    .await?;
    Ok(())
}

/// Publishes that a live session changed. NOTIFY is sent at commit.
pub async fn publish_session_updated(
    conn: &mut Connection,
    user: UserId,
    session: SessionId,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    publish(conn, user, session, EventKind::SessionUpdated, now).await
}

/// Publishes that a session switched its organization. NOTIFY is sent at commit.
pub async fn publish_organization_switched(
    conn: &mut Connection,
    user: UserId,
    session: SessionId,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    publish(conn, user, session, EventKind::OrganizationSwitched, now).await
}

/// Publishes that a session has a new credential. NOTIFY is sent at commit. Streams that were opened with the old
/// credential close, and the holder of the new one reopens them.
pub async fn publish_credential_replaced(
    conn: &mut Connection,
    user: UserId,
    session: SessionId,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    publish(conn, user, session, EventKind::CredentialReplaced, now).await
}

/// Distinguishes [`EventKind::CredentialReplaced`] from other updates in the log.
const CREDENTIAL_REPLACED: &str = "credential_replaced";

async fn publish(
    conn: &mut Connection,
    user: UserId,
    session: SessionId,
    kind: EventKind,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "
        WITH event AS (
            INSERT INTO session_events (at, user_id, session_id, kind, reason) VALUES ($1, $2, $3, $4, $5)
        )
        SELECT pg_notify($6, '')::text
        ",
        now,
        user as _,
        session as _,
        kind.as_str(),
        (kind == EventKind::CredentialReplaced).then_some(CREDENTIAL_REPLACED),
        CHANNEL,
    )
    .fetch_one(conn)
    .await?;
    Ok(())
}

/// One event of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Event number. Numbers are assigned before the commit, so a lower one may become visible later.
    pub id: i64,
    /// When it happened.
    pub at: DateTime<Utc>,
    pub user: UserId,
    /// The session that the event is about, if any.
    pub session: Option<SessionId>,
    pub kind: EventKind,
}

/// What happened. The names are public: clients depend on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// The session has other times or another client.
    SessionUpdated,
    SessionEnded {
        reason: EndReason,
    },
    /// The credential was replaced. Streams of the old credential receive nothing more.
    CredentialReplaced,
    /// A session of the user was created, ended or changed.
    SessionsChanged,
    /// The session switched its organization.
    OrganizationSwitched,
}

impl EventKind {
    pub fn as_str(self) -> &'static str {
        match self {
            EventKind::SessionUpdated | EventKind::CredentialReplaced => "session_updated",
            EventKind::SessionEnded { .. } => "session_ended",
            EventKind::SessionsChanged => "sessions_changed",
            EventKind::OrganizationSwitched => "organization_switched",
        }
    }
}

struct Row {
    id: i64,
    at: DateTime<Utc>,
    user: UserId,
    session: Option<SessionId>,
    kind: String,
    reason: Option<String>,
}

impl Row {
    fn read(self) -> sqlx::Result<Event> {
        let kind = match (self.kind.as_str(), self.reason) {
            ("session_updated", Some(reason)) if reason == CREDENTIAL_REPLACED => {
                EventKind::CredentialReplaced
            }
            ("session_updated", _) => EventKind::SessionUpdated,
            ("session_ended", Some(reason)) => EventKind::SessionEnded {
                reason: reason
                    .parse()
                    .map_err(|error| sqlx::Error::Decode(Box::new(error)))?,
            },
            ("organization_switched", _) => EventKind::OrganizationSwitched,
            // Treat an unknown kind, written by a newer server, as a change.
            _ => EventKind::SessionsChanged,
        };
        Ok(Event {
            id: self.id,
            at: self.at,
            user: self.user,
            session: self.session,
            kind,
        })
    }
}

/// Returns the highest event number, 0 for an empty log.
pub async fn load_last_number(conn: &mut Connection) -> sqlx::Result<i64> {
    sqlx::query_scalar!(r#"SELECT COALESCE(max(id), 0) AS "last!" FROM session_events"#)
        .fetch_one(conn)
        .await
}

/// Returns the highest number of a user's events, 0 for none. The number of the whole log would not do: another user's
/// higher number may be visible before a lower one of this user is committed.
pub async fn load_last_number_of_user(conn: &mut Connection, user: UserId) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"SELECT COALESCE(max(id), 0) AS "last!" FROM session_events WHERE user_id = $1"#,
        user as _
    )
    .fetch_one(conn)
    .await
}

/// Returns events after a number and those of `passed_over` that are visible now, at most `most`.
pub async fn list_after(
    conn: &mut Connection,
    last: i64,
    passed_over: &[i64],
    most: i64,
) -> sqlx::Result<Vec<Event>> {
    let rows = sqlx::query_as!(
        Row,
        r#"
        SELECT id, at, user_id AS "user: _", session_id AS "session: _", kind, reason FROM session_events
        WHERE id > $1 OR id = ANY ($2) ORDER BY id LIMIT $3
        "#,
        last,
        passed_over,
        most,
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(Row::read).collect()
}

/// Returns a user's events after a number, for a client that resumes there, at most `most`.
pub async fn list_after_for_user(
    conn: &mut Connection,
    user: UserId,
    last: i64,
    most: i64,
) -> sqlx::Result<Vec<Event>> {
    let rows = sqlx::query_as!(
        Row,
        r#"
        SELECT id, at, user_id AS "user: _", session_id AS "session: _", kind, reason FROM session_events
        WHERE user_id = $1 AND id > $2 ORDER BY id LIMIT $3
        "#,
        user as _,
        last,
        most,
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(Row::read).collect()
}

/// Returns whether any server listens to this database.
pub async fn has_listener(conn: &mut Connection) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"
        SELECT EXISTS (
            SELECT FROM pg_stat_activity WHERE datname = current_database() AND query = format('LISTEN "%s"', $1::text)
        ) AS "heard!"
        "#,
        CHANNEL,
    )
    .fetch_one(conn)
    .await
}

/// Deletes events that no client can still request.
pub async fn delete_before(conn: &mut Connection, then: DateTime<Utc>, most: i64) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        "DELETE FROM session_events WHERE id IN (
            SELECT id FROM session_events WHERE at < $1 ORDER BY at LIMIT $2 FOR UPDATE SKIP LOCKED
        )",
        then,
        most,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}
