//! Organizations and their members.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::invalid_column;
use crate::server::database::Connection;
use domain::{
    ids::{OrganizationId, UserId},
    organization::{Membership, Organization},
    user::Role,
};

/// Finds an organization by name, ignoring case, or creates it. `true`: it was created.
pub async fn find_or_insert(
    conn: &mut Connection,
    name: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<(OrganizationId, bool)> {
    let new = OrganizationId::new();
    let id = sqlx::query_scalar!(
        "
        INSERT INTO organizations (id, name, created_at) VALUES ($1, $2, $3)
        ON CONFLICT (lower(name)) DO UPDATE SET name = organizations.name
        RETURNING id
        ",
        new.0,
        name,
        now,
    )
    .fetch_one(conn)
    .await?;
    Ok((OrganizationId(id), id == new.0))
}

/// Finds an organization by name, ignoring case.
pub async fn find_by_name(conn: &mut Connection, name: &str) -> sqlx::Result<Option<OrganizationId>> {
    let id = sqlx::query_scalar!("SELECT id FROM organizations WHERE lower(name) = lower($1)", name)
        .fetch_optional(conn)
        .await?;
    Ok(id.map(OrganizationId))
}

/// Adds a user to an organization, or changes the role of a member. Returns the previous role there.
pub async fn set_membership(
    conn: &mut Connection,
    user: UserId,
    organization: OrganizationId,
    role: Role,
    now: DateTime<Utc>,
) -> sqlx::Result<Option<Role>> {
    let before = sqlx::query_scalar!(
        r#"
        WITH before AS (SELECT role FROM memberships WHERE user_id = $1 AND organization_id = $2)
        INSERT INTO memberships (user_id, organization_id, role, created_at) VALUES ($1, $2, $3, $4)
        ON CONFLICT (user_id, organization_id) DO UPDATE SET role = EXCLUDED.role
        RETURNING (SELECT role FROM before)
        "#,
        user.0,
        organization.0,
        role.as_str(),
        now,
    )
    .fetch_one(conn)
    .await?;
    before
        .map(|role| role.parse().map_err(invalid_column("role")))
        .transpose()
}

/// Returns a user's memberships, by name of the organization.
pub async fn list_for_user(conn: &mut Connection, user: UserId) -> sqlx::Result<Vec<Membership>> {
    let memberships = list_for_users(conn, &[user]).await?.into_iter();
    Ok(memberships.map(|(_, membership)| membership).collect())
}

/// Returns the memberships of several users, by name of the organization.
pub async fn list_for_users(
    conn: &mut Connection,
    users: &[UserId],
) -> sqlx::Result<Vec<(UserId, Membership)>> {
    let ids: Vec<Uuid> = users.iter().map(|id| id.0).collect();
    let rows = sqlx::query!(
        "
        SELECT m.user_id, o.id, o.name, m.role FROM memberships m JOIN organizations o ON o.id = m.organization_id
        WHERE m.user_id = ANY ($1) ORDER BY lower(o.name)
        ",
        &ids,
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            let membership = Membership {
                organization: Organization {
                    id: OrganizationId(row.id),
                    name: row.name,
                },
                role: row.role.parse().map_err(invalid_column("role"))?,
            };
            Ok((UserId(row.user_id), membership))
        })
        .collect()
}
