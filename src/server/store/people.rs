//! Users as administrators see them.

use crate::server::database::Connection;
use domain::{
    admin::AdminUser,
    ids::{OrganizationId, UserId},
    user::{Role, User},
};

/// A user as an administrator of the organization sees them, or of everyone where there is none; members or not:
/// [`domain::admin_permission`] decides what the administrator may do.
pub async fn find(
    conn: &mut Connection,
    organization: Option<OrganizationId>,
    user: UserId,
) -> sqlx::Result<Option<AdminUser>> {
    let row = sqlx::query!(
        r#"
        SELECT u.email, u.display_name, effective_role(u.role, m.role) AS "role!: Role", u.password_change_required,
            m.user_id IS NOT NULL AS "is_member!",
            u.disabled_at IS NOT NULL AS "is_disabled!",
            u.disabled_at IS NOT NULL AND $2::uuid IS NOT NULL AND NOT EXISTS (
                SELECT 1 FROM memberships d JOIN users a ON a.id = d.user_id
                WHERE d.organization_id = $2 AND a.role <> 'system_admin' AND d.user_id = (
                    SELECT actor_id FROM audit_events WHERE user_id = $1 AND kind = 'user_disabled'
                    ORDER BY id DESC LIMIT 1)
            ) AS "is_disabled_from_outside!",
            u.role = 'system_admin' OR EXISTS (
                SELECT 1 FROM memberships e WHERE e.user_id = u.id AND e.organization_id <> $2) AS "has_other_access!"
        FROM users u LEFT JOIN memberships m ON m.user_id = u.id AND m.organization_id = $2
        WHERE u.id = $1
        "#,
        user as _,
        organization as _,
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| AdminUser {
        user: User {
            id: user,
            email: row.email,
            display_name: row.display_name,
            role: row.role,
        },
        is_member: row.is_member,
        is_disabled: row.is_disabled,
        is_disabled_from_outside: row.is_disabled_from_outside,
        password_change_required: row.password_change_required,
        has_other_access: row.has_other_access,
    }))
}
