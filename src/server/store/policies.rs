//! Session policies by role, for use in queries.

use crate::server::database::Connection;
use domain::{policy::SessionPolicy, user::Role};

/// Writes the configured limits and returns the roles whose limits changed.
pub async fn apply(conn: &mut Connection, policy: &SessionPolicy) -> sqlx::Result<Vec<Role>> {
    let mut changed = Vec::new();
    for role in Role::ALL {
        let limits = policy.for_role(role);
        let seconds = |time: std::time::Duration| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
        let done = sqlx::query!(
            "
            INSERT INTO role_policies (role, idle_seconds, lifetime_seconds, max_sessions) VALUES ($1, $2, $3, $4)
            ON CONFLICT (role) DO UPDATE SET idle_seconds = $2, lifetime_seconds = $3, max_sessions = $4
            WHERE (role_policies.idle_seconds, role_policies.lifetime_seconds, role_policies.max_sessions)
                IS DISTINCT FROM ($2, $3, $4)
            ",
            role as _,
            seconds(limits.idle),
            seconds(limits.lifetime),
            i32::try_from(limits.max_sessions).unwrap_or(i32::MAX),
        )
        .execute(&mut *conn)
        .await?;
        if done.rows_affected() > 0 {
            changed.push(role);
        }
    }
    Ok(changed)
}

/// Returns how many live sessions a role allows.
pub async fn load_max_sessions(conn: &mut Connection, role: Role) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar!(
        r#"SELECT max_sessions::bigint AS "most!" FROM role_policies WHERE role = $1"#,
        role as _
    )
    .fetch_optional(conn)
    .await
}
