//! Rows of the database for assertions.

use chrono::{DateTime, Utc};
use domain::ids::UserId;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Decode, Postgres, Row as _, Type, postgres::PgQueryResult};
use uuid::Uuid;

use super::{Portal, SessionId};

/// A type that a column can be read as.
pub trait Column: for<'r> Decode<'r, Postgres> + Type<Postgres> + Send + Unpin {}

impl<T: for<'r> Decode<'r, Postgres> + Type<Postgres> + Send + Unpin> Column for T {}

#[derive(Clone, Debug, PartialEq)]
pub struct AuditRow {
    pub at: DateTime<Utc>,
    pub kind: String,
    pub actor: Option<UserId>,
    pub actor_session: Option<SessionId>,
    pub user: Option<UserId>,
    pub session: Option<SessionId>,
    pub ip_address: Option<String>,
    pub reason: Option<String>,
    pub detail: Value,
}

#[derive(Clone, Debug, PartialEq)]
pub struct EventRow {
    pub kind: String,
    pub user: UserId,
    pub session: Option<SessionId>,
    pub reason: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct SessionRow {
    pub ended_at: Option<DateTime<Utc>>,
    pub end_reason: Option<String>,
    pub ended_by: Option<UserId>,
    pub ended_by_session: Option<SessionId>,
    pub last_active_at: DateTime<Utc>,
    pub last_seen_at: DateTime<Utc>,
    pub ip_address: String,
    pub user_agent: String,
    pub data: Value,
}

/// A security notice.
#[derive(Clone, Debug, PartialEq)]
pub struct NoticeRow {
    pub id: Uuid,
    pub user: UserId,
    pub session: SessionId,
    pub rules: Vec<String>,
    pub failures: Option<i32>,
    pub dismissed: bool,
}

impl Portal {
    /// Executes a statement with the rights of the owner.
    pub async fn execute(&self, statement: &str) -> PgQueryResult {
        let done = sqlx::query(AssertSqlSafe(statement.to_owned())).execute(&self.sql);
        done.await.unwrap_or_else(|error| panic!("{statement}: {error}"))
    }

    /// Returns the value that a query selects.
    pub async fn scalar<T: Column>(&self, query: &str) -> T {
        let found = sqlx::query_scalar(AssertSqlSafe(query.to_owned())).fetch_one(&self.sql);
        found.await.unwrap_or_else(|error| panic!("{query}: {error}"))
    }

    /// Returns the column that a query selects.
    pub async fn column<T: Column>(&self, query: &str) -> Vec<T> {
        let found = sqlx::query_scalar(AssertSqlSafe(query.to_owned())).fetch_all(&self.sql);
        found.await.unwrap_or_else(|error| panic!("{query}: {error}"))
    }

    /// Returns the id of an organization.
    pub async fn organization(&self, name: &str) -> Uuid {
        let query = format!("SELECT id FROM organizations WHERE name = '{name}'");
        self.scalar(&query).await
    }

    /// Returns the security notices, oldest first.
    pub async fn notices(&self) -> Vec<NoticeRow> {
        let rows = sqlx::query("SELECT * FROM security_notices ORDER BY at, id")
            .fetch_all(&self.sql)
            .await
            .expect("the notices");
        rows.iter()
            .map(|row| NoticeRow {
                id: row.get("id"),
                user: UserId(row.get("user_id")),
                session: SessionId(row.get("session_id")),
                rules: row.get("rules"),
                failures: row.get("failures"),
                dismissed: row.get::<Option<DateTime<Utc>>, _>("dismissed_at").is_some(),
            })
            .collect()
    }

    /// Returns a user's live sessions according to the database.
    pub async fn live_sessions(&self, user: UserId) -> Vec<SessionId> {
        sqlx::query_scalar(
            "SELECT id FROM session_state WHERE user_id = $1 AND live_until > $2 ORDER BY created_at, id",
        )
        .bind(user.0)
        .bind(self.now())
        .fetch_all(&self.sql)
        .await
        .expect("the sessions")
        .into_iter()
        .map(SessionId)
        .collect()
    }

    /// Asserts that a session ended for this reason, with exactly one event and one audit row.
    #[track_caller]
    pub fn assert_ended(&self, session: SessionId, reason: &str) -> impl Future<Output = ()> {
        let (portal, reason, at) = (self.clone(), reason.to_owned(), std::panic::Location::caller());
        async move {
            assert_eq!(portal.end_reason(session).await.as_ref(), Some(&reason), "{at}");
            let rows = portal.ends_of(session).await;
            let said: Vec<_> = rows.iter().map(|row| row.reason.as_ref()).collect();
            assert_eq!(said, [Some(&reason)], "the audit log, {at}");
            let events = portal.events("session_ended").await;
            let said: Vec<_> = events
                .iter()
                .filter(|event| event.session == Some(session))
                .map(|event| event.reason.as_ref())
                .collect();
            assert_eq!(said, [Some(&reason)], "the event log, {at}");
        }
    }

    /// Returns the audit rows of one kind, oldest first.
    pub async fn audit(&self, kind: &str) -> Vec<AuditRow> {
        let rows = sqlx::query(
            "SELECT at, kind, actor_id, actor_session_id, user_id, session_id, host(ip_address) AS ip_address, reason,
                detail
            FROM audit_events WHERE kind = $1 ORDER BY id",
        )
        .bind(kind)
        .fetch_all(&self.sql)
        .await
        .expect("the audit log");
        rows.iter()
            .map(|row| AuditRow {
                at: row.get("at"),
                kind: row.get("kind"),
                actor: row.get::<Option<Uuid>, _>("actor_id").map(UserId),
                actor_session: row.get::<Option<Uuid>, _>("actor_session_id").map(SessionId),
                user: row.get::<Option<Uuid>, _>("user_id").map(UserId),
                session: row.get::<Option<Uuid>, _>("session_id").map(SessionId),
                ip_address: row.get("ip_address"),
                reason: row.get("reason"),
                detail: row.get("detail"),
            })
            .collect()
    }

    /// Returns the audit rows about the end of this session.
    pub async fn ends_of(&self, session: SessionId) -> Vec<AuditRow> {
        let mut rows = self.audit("session_ended").await;
        rows.retain(|row| row.session == Some(session));
        rows
    }

    /// Returns the session events of one kind, oldest first.
    pub async fn events(&self, kind: &str) -> Vec<EventRow> {
        let rows = sqlx::query(
            "SELECT kind, user_id, session_id, reason FROM session_events WHERE kind = $1 ORDER BY id",
        )
        .bind(kind)
        .fetch_all(&self.sql)
        .await
        .expect("the event log");
        rows.iter()
            .map(|row| EventRow {
                kind: row.get("kind"),
                user: UserId(row.get("user_id")),
                session: row.get::<Option<Uuid>, _>("session_id").map(SessionId),
                reason: row.get("reason"),
            })
            .collect()
    }

    pub async fn session_row(&self, session: SessionId) -> SessionRow {
        let row = sqlx::query("SELECT *, host(ip_address) AS address FROM sessions WHERE id = $1")
            .bind(session.0)
            .fetch_one(&self.sql)
            .await
            .expect("the session's row");
        SessionRow {
            ended_at: row.get("ended_at"),
            end_reason: row.get("end_reason"),
            ended_by: row.get::<Option<Uuid>, _>("ended_by").map(UserId),
            ended_by_session: row.get::<Option<Uuid>, _>("ended_by_session").map(SessionId),
            last_active_at: row.get("last_active_at"),
            last_seen_at: row.get("last_seen_at"),
            ip_address: row.get("address"),
            user_agent: row.get("user_agent"),
            data: row.get("data"),
        }
    }

    /// Returns why the session ended. `None`: it has not.
    pub async fn end_reason(&self, session: SessionId) -> Option<String> {
        self.session_row(session).await.end_reason
    }

    /// Returns the session of the credential with this hash.
    pub async fn session_of(&self, hash: &[u8]) -> Option<SessionId> {
        let id = sqlx::query_scalar("SELECT id FROM sessions WHERE credential_hash = $1")
            .bind(hash)
            .fetch_optional(&self.sql)
            .await
            .expect("the sessions");
        id.map(SessionId)
    }

    /// Counts the rows of a table.
    pub async fn rows(&self, table: &'static str) -> i64 {
        sqlx::query_scalar(AssertSqlSafe(format!("SELECT count(*) FROM {table}")))
            .fetch_one(&self.sql)
            .await
            .expect("a table")
    }

    pub async fn epoch(&self, user: UserId) -> i64 {
        sqlx::query_scalar("SELECT session_epoch FROM users WHERE id = $1")
            .bind(user.0)
            .fetch_one(&self.sql)
            .await
            .expect("the person")
    }

    /// Returns every row of every table as text.
    pub async fn dump(&self) -> String {
        let tables: Vec<String> = sqlx::query_scalar(
            "SELECT table_name::text FROM information_schema.tables
            WHERE table_schema = 'public' AND table_type = 'BASE TABLE'",
        )
        .fetch_all(&self.sql)
        .await
        .expect("the tables");
        let mut dump = String::new();
        for table in tables {
            let rows: Vec<String> =
                sqlx::query_scalar(AssertSqlSafe(format!("SELECT t::text FROM {table} t")))
                    .fetch_all(&self.sql)
                    .await
                    .expect("the rows");
            dump.push_str(&format!("{table}\n{}\n", rows.join("\n")));
        }
        dump
    }
}
