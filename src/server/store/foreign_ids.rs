//! Whether an id belongs to another user, for the audit log.

use uuid::Uuid;

use crate::server::database::Connection;
use domain::ids::UserId;

/// Returns whether the id is that of a user, session, organization or notice that does not belong to the user.
pub async fn is_foreign(conn: &mut Connection, user: UserId, id: Uuid) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"
        SELECT EXISTS (SELECT 1 FROM users WHERE id = $2 AND id <> $1)
            OR EXISTS (SELECT 1 FROM sessions WHERE id = $2 AND user_id <> $1)
            OR EXISTS (SELECT 1 FROM security_notices WHERE id = $2 AND user_id <> $1)
            OR EXISTS (SELECT 1 FROM organizations o WHERE o.id = $2 AND NOT EXISTS (
                SELECT 1 FROM memberships m WHERE m.organization_id = o.id AND m.user_id = $1)) AS "is_of_others!"
        "#,
        user as _,
        id,
    )
    .fetch_one(conn)
    .await
}
