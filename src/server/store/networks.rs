//! Networks from which sessions were used.

use chrono::{DateTime, Utc};

use super::security_notices::UNCONFIRMED_PERIOD;
use crate::server::database::Connection;
use domain::ids::{SessionId, UserId};

use crate::server::auth::client::Network;

/// Records that a session is used from a network. `false`: this was known.
pub async fn record(
    conn: &mut Connection,
    session: SessionId,
    network: Network,
    now: DateTime<Utc>,
) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "
        INSERT INTO session_networks (session_id, network, first_seen_at) VALUES ($1, $2, $3)
        ON CONFLICT DO NOTHING
        ",
        session as _,
        network as _,
        now,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Other networks of a user, when a session appears in a new one.
pub struct NetworkHistory {
    /// The user used this network before, in any confirmed session.
    pub known: bool,
    /// Networks of open sessions that were seen after `since`.
    pub recent: Vec<Network>,
}

/// Loads what is known about a user's networks.
pub async fn load_history(
    conn: &mut Connection,
    user: UserId,
    network: Network,
    since: DateTime<Utc>,
    now: DateTime<Utc>,
) -> sqlx::Result<NetworkHistory> {
    let rows = sqlx::query!(
        r#"
        SELECT DISTINCT n.network AS "network: Network",
            -- What is known only from sessions in question is not known.
            (n.network = $2 AND NOT EXISTS (
                SELECT 1 FROM security_notices q WHERE q.session_id = s.id AND q.dismissed_at IS NULL AND q.at > $4
                    AND 'new_device' = ANY (q.rules)
            )) AS "same!",
            (s.ended_at IS NULL AND s.last_seen_at > $3) AS "recent!"
        FROM session_networks n JOIN sessions s ON s.id = n.session_id WHERE s.user_id = $1
        "#,
        user as _,
        network as _,
        since,
        now - UNCONFIRMED_PERIOD,
    )
    .fetch_all(conn)
    .await?;
    let recent = rows.iter().filter(|row| row.recent).map(|row| row.network);
    Ok(NetworkHistory {
        known: rows.iter().any(|row| row.same),
        recent: recent.collect(),
    })
}
