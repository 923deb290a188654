//! Users as administrators see them.

use super::invalid_column;
use crate::server::database::Connection;
use domain::{
    admin::AdminUser,
    ids::{OrganizationId, UserId},
    user::User,
};

/// Finds a user of an organization, with their role there. Without an organization, finds any user, with their own
/// role. A system administrator has that role everywhere.
pub async fn find(
    conn: &mut Connection,
    organization: Option<OrganizationId>,
    user: UserId,
) -> sqlx::Result<Option<AdminUser>> {
    let row = sqlx::query!(
        r#"
        SELECT u.email, u.display_name, CASE WHEN u.role = 'system_admin' THEN u.role ELSE COALESCE(m.role, u.role) END AS "role!", u.disabled_at IS NOT NULL AS "is_disabled!",
            u.password_change_required,
            u.role = 'system_admin' OR EXISTS (
                SELECT 1 FROM memberships e WHERE e.user_id = u.id AND e.organization_id <> $2) AS "is_elsewhere!"
        FROM users u LEFT JOIN memberships m ON m.user_id = u.id AND m.organization_id = $2
        WHERE u.id = $1 AND ($2::uuid IS NULL OR m.user_id IS NOT NULL)
        "#,
        user.0,
        organization.map(|id| id.0),
    )
    .fetch_optional(conn)
    .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(AdminUser {
        user: User {
            id: user,
            email: row.email,
            display_name: row.display_name,
            role: row.role.parse().map_err(invalid_column("role"))?,
        },
        is_disabled: row.is_disabled,
        password_change_required: row.password_change_required,
        has_other_access: row.is_elsewhere,
    }))
}

/// Returns whether a user was last disabled by a member of the organization who is not a system administrator. Without
/// an organization: by any user.
pub async fn was_disabled_by_member(
    conn: &mut Connection,
    organization: Option<OrganizationId>,
    user: UserId,
) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"
        SELECT $2::uuid IS NULL OR EXISTS (
            SELECT 1 FROM memberships m JOIN users a ON a.id = m.user_id
            WHERE m.organization_id = $2 AND a.role <> 'system_admin' AND m.user_id = (
                SELECT actor_id FROM audit_events WHERE user_id = $1 AND kind = 'user_disabled' ORDER BY id DESC LIMIT 1
            )
        ) AS "within!"
        "#,
        user.0,
        organization.map(|id| id.0),
    )
    .fetch_one(conn)
    .await
}
