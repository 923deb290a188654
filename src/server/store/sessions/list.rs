//! Lists of live sessions for users and operators.

use chrono::{DateTime, Utc};
use sqlx::{FromRow, Postgres, QueryBuilder};

use crate::server::database::Connection;
use domain::{
    ids::{SessionId, UserId},
    session::ClientKind,
    user::User,
};

/// Returns all users with a session that is not recorded as ended.
pub async fn list_users_with_open(conn: &mut Connection) -> sqlx::Result<Vec<UserId>> {
    sqlx::query_scalar!(
        r#"SELECT DISTINCT user_id AS "user: UserId" FROM sessions WHERE ended_at IS NULL ORDER BY 1"#
    )
    .fetch_all(conn)
    .await
}

/// Returns the number of the last session created on any node, 0 for none. A session that is not committed yet may have
/// this number or a lower one.
pub async fn load_last_number(conn: &mut Connection) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"SELECT CASE WHEN is_called THEN last_value ELSE 0 END AS "last!" FROM session_numbers"#
    )
    .fetch_one(conn)
    .await
}

/// What names the client of a session.
#[derive(Debug, FromRow)]
pub struct SessionClient {
    /// As a desktop app reported it.
    pub device_name: Option<String>,
    pub user_agent: String,
}

/// A session as it is stored. [`services::session_view`] makes a [`domain::session::Session`] of it.
///
/// [`services::session_view`]: crate::server::services::session_view
#[derive(Debug, FromRow)]
pub struct SessionRow {
    pub id: SessionId,
    pub kind: ClientKind,
    #[sqlx(flatten)]
    pub client: SessionClient,
    pub os: Option<String>,
    pub platform: Option<String>,
    pub browser: Option<String>,
    pub ip_address: String,
    pub created_at: DateTime<Utc>,
    pub last_active_at: DateTime<Utc>,
    pub last_seen_at: DateTime<Utc>,
    /// Idle timeout of its role, in seconds.
    pub idle_seconds: i64,
    /// When it expires in any case.
    pub lifetime_expires_at: DateTime<Utc>,
}

impl SessionRow {
    /// Its columns in the view `session_state AS st`.
    pub(in crate::server::store) const COLUMNS: &'static str = "st.id, st.kind, st.device_name, st.user_agent, st.os, \
        st.platform, st.browser, host(st.ip_address) AS ip_address, st.created_at, st.last_active_at, st.last_seen_at, \
        st.idle_seconds, st.lifetime_expires_at";
}

/// A session with its user.
#[derive(Debug, FromRow)]
pub struct UserSession {
    #[sqlx(flatten)]
    pub user: User,
    #[sqlx(flatten)]
    pub session: SessionRow,
}

/// Returns the live sessions of one user or of all, most recently active first.
pub async fn list_live(
    conn: &mut Connection,
    user: Option<UserId>,
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<UserSession>> {
    let mut query = QueryBuilder::<Postgres>::new("SELECT st.user_id, st.email, st.display_name, st.role, ");
    query
        .push(SessionRow::COLUMNS)
        .push(" FROM session_state st WHERE st.live_until > ")
        .push_bind(now);
    if let Some(user) = user {
        query.push(" AND st.user_id = ").push_bind(user);
    }
    query.push(" ORDER BY st.last_active_at DESC, st.id");
    query.build_query_as().fetch_all(conn).await
}
