//! Organizations and their members.

use chrono::{DateTime, Utc};

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
        r#"
        INSERT INTO organizations (id, name, created_at) VALUES ($1, $2, $3)
        ON CONFLICT (lower(name)) DO UPDATE SET name = organizations.name
        RETURNING id AS "id: OrganizationId"
        "#,
        new as _,
        name,
        now,
    )
    .fetch_one(conn)
    .await?;
    Ok((id, id == new))
}

/// Finds an organization by name, ignoring case.
pub async fn find_by_name(conn: &mut Connection, name: &str) -> sqlx::Result<Option<OrganizationId>> {
    sqlx::query_scalar!(
        r#"SELECT id AS "id: OrganizationId" FROM organizations WHERE lower(name) = lower($1)"#,
        name,
    )
    .fetch_optional(conn)
    .await
}

/// Adds a user to an organization, or changes the role of a member. Returns the previous role there.
pub async fn set_membership(
    conn: &mut Connection,
    user: UserId,
    organization: OrganizationId,
    role: Role,
    now: DateTime<Utc>,
) -> sqlx::Result<Option<Role>> {
    sqlx::query_scalar!(
        r#"
        WITH before AS (SELECT role FROM memberships WHERE user_id = $1 AND organization_id = $2)
        INSERT INTO memberships (user_id, organization_id, role, created_at) VALUES ($1, $2, $3, $4)
        ON CONFLICT (user_id, organization_id) DO UPDATE SET role = EXCLUDED.role
        RETURNING (SELECT role FROM before) AS "before: Role"
        "#,
        user as _,
        organization as _,
        role as _,
        now,
    )
    .fetch_one(conn)
    .await
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
    let rows = sqlx::query!(
        r#"
        SELECT m.user_id AS "user: UserId", o.id AS "id: OrganizationId", o.name, m.role AS "role: Role"
        FROM memberships m JOIN organizations o ON o.id = m.organization_id
        WHERE m.user_id = ANY ($1) ORDER BY lower(o.name)
        "#,
        users as _,
    )
    .fetch_all(conn)
    .await?;
    let memberships = rows.into_iter().map(|row| {
        let organization = Organization {
            id: row.id,
            name: row.name,
        };
        let role = row.role;
        (row.user, Membership { organization, role })
    });
    Ok(memberships.collect())
}
