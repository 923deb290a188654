//! Generated users and sessions for load tests, by the hundred thousand.
//!
//! The service decides which users exist and how many sessions each has. The statements derive the rest of a row from a
//! SHA-512 hash of its number, so that the same call makes the same rows. A credential is a part of that hash, and not
//! the SHA-256 of anything that could be presented.

#![expect(
    clippy::disallowed_types,
    reason = "a command's work takes as long as it takes, and its operator can stop it"
)]

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use domain::{
    ids::{OrganizationId, UserId},
    policy::RolePolicy,
    session::EndReason,
    user::Role,
};

/// Email domain of all generated users.
pub const EMAIL_DOMAIN: &str = "seed.example";

/// A user to generate.
#[derive(Clone, Debug)]
pub struct SeededUser {
    pub id: UserId,
    /// From 1, without gaps.
    pub number: i32,
    pub role: Role,
    /// Limits of their role.
    pub limits: RolePolicy,
    pub organization: Option<OrganizationId>,
    /// Number of live sessions.
    pub live: i32,
    /// Number of ended sessions.
    pub ended: i32,
}

/// ClientNames of generated sessions, by column.
#[derive(Clone, Debug, Default)]
pub struct ClientNames {
    pub user_agents: Vec<String>,
    pub browsers: Vec<String>,
    pub systems: Vec<String>,
    pub platforms: Vec<String>,
    /// Operating systems and platforms of desktops.
    pub desktop_systems: Vec<String>,
    pub desktop_platforms: Vec<String>,
}

/// Users that exist already.
pub struct ExistingUsers {
    pub people: i64,
    /// Some were generated.
    pub seeded: bool,
}

pub async fn load_existing_users(conn: &mut PgConnection) -> sqlx::Result<ExistingUsers> {
    sqlx::query_as!(
        ExistingUsers,
        r#"
        SELECT (SELECT count(*) FROM users) AS "people!",
            EXISTS (SELECT FROM users WHERE lower(email) = 'person-1@' || $1) AS "seeded!"
        "#,
        EMAIL_DOMAIN,
    )
    .fetch_one(conn)
    .await
}

/// Inserts organizations, numbered from 1 in the given order.
pub async fn insert_organizations(
    conn: &mut PgConnection,
    ids: &[OrganizationId],
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "
        INSERT INTO organizations (id, name, created_at)
        SELECT id, 'Seeded Brokerage ' || number, $2::timestamptz - interval '90 days'
        FROM unnest($1::uuid[]) WITH ORDINALITY AS o (id, number)
        ",
        ids as _,
        now,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Inserts users and their memberships.
pub async fn insert_users(
    conn: &mut PgConnection,
    people: &[SeededUser],
    password_hash: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let rows = UserColumns::of(people);
    sqlx::query!(
        "
        INSERT INTO users (id, email, display_name, role, password_hash, password_changed_at, created_at)
        SELECT id, 'person-' || number || '@' || $5, 'Person ' || number, role, $4,
            $6::timestamptz - interval '90 days', $6::timestamptz - interval '90 days'
        FROM unnest($1::uuid[], $2::int[], $3::text[]) AS p (id, number, role)
        ",
        &rows.ids as _,
        &rows.numbers,
        &rows.roles as _,
        password_hash,
        EMAIL_DOMAIN,
        now,
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "
        INSERT INTO memberships (user_id, organization_id, role, created_at)
        SELECT id, organization, role, $4::timestamptz - interval '90 days'
        FROM unnest($1::uuid[], $2::uuid[], $3::text[]) AS p (id, organization, role) WHERE organization IS NOT NULL
        ",
        &rows.ids as _,
        &rows.organizations as _,
        &rows.roles as _,
        now,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Inserts the live sessions of these users and returns how many. One in four has a device and a refresh token; each
/// has a network. Activity lies within nine tenths of the role's idle timeout, mostly recent.
pub async fn insert_live_sessions(
    conn: &mut PgConnection,
    people: &[SeededUser],
    clients: &ClientNames,
    now: DateTime<Utc>,
) -> sqlx::Result<i64> {
    let rows = UserColumns::of(people);
    sqlx::query_scalar!(
        r#"
        WITH made AS MATERIALIZED (
            SELECT p.user_id, p.organization_id, p.number, slot, h,
                encode(substr(h, 33, 16), 'hex')::uuid AS id,
                get_byte(h, 57) % 4 = 0 AS desktop,
                1 + get_byte(h, 56) % cardinality($6::text[]) AS client,
                1 + get_byte(h, 56) % cardinality($10::text[]) AS desktop_client,
                CASE WHEN get_byte(h, 52) % 8 = 0 THEN '2001:db8::'::inet ELSE '10.0.0.0'::inet END
                    + (get_byte(h, 53) * 65536 + get_byte(h, 54) * 256 + get_byte(h, 55)) AS ip_address,
                $12::timestamptz - make_interval(secs => active_age) AS last_active_at,
                $12::timestamptz - make_interval(secs => active_age
                    + GREATEST(0.9 * p.lifetime_seconds - active_age, 0) * (get_byte(h, 50) / 256.0)) AS created_at
            FROM unnest($1::uuid[], $2::int[], $3::uuid[], $4::int[], $5::float8[], $13::float8[])
                AS p (user_id, number, organization_id, sessions, idle_seconds, lifetime_seconds)
            CROSS JOIN LATERAL generate_series(1, p.sessions) slot
            CROSS JOIN LATERAL (SELECT sha512(('a seeded session, ' || p.number || '/' || slot)::bytea) AS h) hash
            -- Squared, so that most were active lately.
            CROSS JOIN LATERAL (
                SELECT 0.9 * LEAST(p.idle_seconds, p.lifetime_seconds)
                    * power((get_byte(h, 48) * 256 + get_byte(h, 49)) / 65536.0, 2) AS active_age
            ) age
        ), device AS (
            INSERT INTO devices (id, user_id, device_id, device_name, os, platform, app_version, is_active, last_seen_at,
                created_at)
            SELECT encode(substr(h, 49, 16), 'hex')::uuid, user_id, 'seeded-' || slot, 'Desk ' || number || '-' || slot,
                ($10::text[])[desktop_client], ($11::text[])[desktop_client], '2.4.0', true, last_active_at, created_at
            FROM made WHERE desktop
        ), session AS (
            INSERT INTO sessions (id, user_id, organization_id, kind, device, credential_hash, credential_expires_at,
                epoch, created_at, authenticated_at, last_active_at, last_seen_at, ip_address, user_agent, browser, os,
                platform)
            SELECT id, user_id, organization_id, CASE WHEN desktop THEN 'desktop' ELSE 'browser' END,
                CASE WHEN desktop THEN encode(substr(h, 49, 16), 'hex')::uuid END,
                substr(h, 1, 32), CASE WHEN desktop THEN last_active_at + interval '15 minutes' END, 0,
                created_at, created_at, last_active_at, last_active_at, ip_address,
                CASE WHEN desktop THEN 'Broker Portal Desktop/2.4.0' ELSE ($6::text[])[client] END,
                CASE WHEN NOT desktop THEN ($7::text[])[client] END,
                CASE WHEN NOT desktop THEN ($8::text[])[client] END,
                CASE WHEN NOT desktop THEN ($9::text[])[client] END
            FROM made
        ), token AS (
            INSERT INTO refresh_tokens (id, session_id, token_hash, created_at)
            SELECT encode(substr(h, 17, 16), 'hex')::uuid, id, substr(h, 9, 32), last_active_at FROM made WHERE desktop
        ), network AS (
            INSERT INTO session_networks (session_id, network, first_seen_at)
            SELECT id, network(set_masklen(ip_address, CASE family(ip_address) WHEN 4 THEN 24 ELSE 48 END))::cidr, created_at
            FROM made
        )
        SELECT count(*) AS "made!" FROM made
        "#,
        &rows.ids as _,
        &rows.numbers,
        &rows.organizations as _,
        &rows.live,
        &rows.idle_seconds,
        &clients.user_agents,
        &clients.browsers,
        &clients.systems,
        &clients.platforms,
        &clients.desktop_systems,
        &clients.desktop_platforms,
        now,
        &rows.lifetime_seconds,
    )
    .fetch_one(conn)
    .await
}

/// Inserts ended sessions of these users, within `since` before now, for one of the `reasons`. Returns how many.
pub async fn insert_ended_sessions(
    conn: &mut PgConnection,
    people: &[SeededUser],
    clients: &ClientNames,
    reasons: &[EndReason],
    since: Duration,
    now: DateTime<Utc>,
) -> sqlx::Result<i64> {
    let rows = UserColumns::of(people);
    sqlx::query_scalar!(
        r#"
        WITH made AS MATERIALIZED (
            SELECT p.user_id, p.organization_id, p.number, slot, h, reason, ended_at,
                encode(substr(h, 33, 16), 'hex')::uuid AS id,
                get_byte(h, 57) % 4 = 0 AS desktop,
                1 + get_byte(h, 56) % cardinality($6::text[]) AS client,
                1 + get_byte(h, 56) % cardinality($10::text[]) AS desktop_client,
                -- A person's own doing: the others are ended by nobody.
                reason IN ('signed_out', 'revoked', 'signed_out_everywhere', 'password_changed') AS by_person,
                '10.0.0.0'::inet + (get_byte(h, 53) * 65536 + get_byte(h, 54) * 256 + get_byte(h, 55)) AS ip_address,
                ended_at - make_interval(secs => active_age) AS last_active_at,
                ended_at - make_interval(secs => CASE reason WHEN 'lifetime_exceeded' THEN p.lifetime_seconds
                    ELSE active_age + GREATEST(0.9 * p.lifetime_seconds - active_age, 0) * (get_byte(h, 50) / 256.0)
                    END) AS created_at
            FROM unnest($1::uuid[], $2::int[], $3::uuid[], $4::int[], $5::float8[], $15::float8[])
                AS p (user_id, number, organization_id, sessions, idle_seconds, lifetime_seconds)
            CROSS JOIN LATERAL generate_series(1, p.sessions) slot
            CROSS JOIN LATERAL (SELECT sha512(('an ended seeded session, ' || p.number || '/' || slot)::bytea) AS h) hash
            CROSS JOIN LATERAL (
                SELECT ($13::text[])[1 + get_byte(h, 59) % cardinality($13::text[])] AS reason,
                    $12::timestamptz - make_interval(
                        secs => $14::float8 * (1 + get_byte(h, 48) * 256 + get_byte(h, 49)) / 65536.0) AS ended_at
            ) finish
            CROSS JOIN LATERAL (
                SELECT LEAST(p.idle_seconds, p.lifetime_seconds)
                    * CASE reason WHEN 'idle_timeout' THEN 1 ELSE 0.9 * get_byte(h, 51) / 256.0 END AS active_age
            ) age
        ), device AS (
            INSERT INTO devices (id, user_id, device_id, device_name, os, platform, app_version, is_active, last_seen_at,
                created_at)
            SELECT encode(substr(h, 49, 16), 'hex')::uuid, user_id, 'seeded-past-' || slot,
                'Former desk ' || number || '-' || slot,
                ($10::text[])[desktop_client], ($11::text[])[desktop_client], '2.3.0', false, last_active_at, created_at
            FROM made WHERE desktop
        ), session AS (
            INSERT INTO sessions (id, user_id, organization_id, kind, device, credential_hash, credential_expires_at,
                epoch, created_at, authenticated_at, last_active_at, last_seen_at, ip_address, user_agent, browser, os,
                platform, ended_at, end_reason, ended_by, ended_by_session)
            SELECT id, user_id, organization_id, CASE WHEN desktop THEN 'desktop' ELSE 'browser' END,
                CASE WHEN desktop THEN encode(substr(h, 49, 16), 'hex')::uuid END,
                substr(h, 1, 32), CASE WHEN desktop THEN last_active_at + interval '15 minutes' END, 0,
                created_at, created_at, last_active_at, last_active_at, ip_address,
                CASE WHEN desktop THEN 'Broker Portal Desktop/2.3.0' ELSE ($6::text[])[client] END,
                CASE WHEN NOT desktop THEN ($7::text[])[client] END,
                CASE WHEN NOT desktop THEN ($8::text[])[client] END,
                CASE WHEN NOT desktop THEN ($9::text[])[client] END,
                ended_at, reason, CASE WHEN by_person THEN user_id END, CASE WHEN by_person THEN id END
            FROM made
        ), network AS (
            INSERT INTO session_networks (session_id, network, first_seen_at)
            SELECT id, network(set_masklen(ip_address, 24))::cidr, created_at FROM made
        )
        SELECT count(*) AS "made!" FROM made
        "#,
        &rows.ids as _,
        &rows.numbers,
        &rows.organizations as _,
        &rows.ended,
        &rows.idle_seconds,
        &clients.user_agents,
        &clients.browsers,
        &clients.systems,
        &clients.platforms,
        &clients.desktop_systems,
        &clients.desktop_platforms,
        now,
        reasons as _,
        since.as_secs_f64(),
        &rows.lifetime_seconds,
    )
    .fetch_one(conn)
    .await
}

/// Writes audit rows for seeded sessions between `from` (inclusive) and `to`, in order of time: every end, and one in
/// ten sign-ins of live sessions. Returns how many.
pub async fn insert_audit_events(
    conn: &mut PgConnection,
    from: Option<DateTime<Utc>>,
    to: DateTime<Utc>,
) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        r#"
        INSERT INTO audit_events (at, kind, actor_id, actor_session_id, user_id, session_id, ip_address, reason, detail)
        SELECT at, kind, actor, actor_session, user_id, id, ip_address, reason, '{"seeded": true}'
        FROM (
            SELECT created_at AS at, 'signed_in' AS kind, user_id AS actor, id AS actor_session, user_id, id, ip_address,
                NULL AS reason
            FROM sessions
            WHERE ended_at IS NULL AND get_byte(credential_hash, 0) % 10 = 0
                AND created_at >= COALESCE($1::timestamptz, '-infinity') AND created_at < $2::timestamptz
            UNION ALL
            SELECT ended_at, 'session_ended', ended_by, ended_by_session, user_id, id,
                CASE WHEN ended_by IS NOT NULL THEN ip_address END, end_reason
            FROM sessions WHERE ended_at >= COALESCE($1::timestamptz, '-infinity') AND ended_at < $2::timestamptz
        ) r
        WHERE EXISTS (SELECT FROM users u WHERE u.id = r.user_id AND u.email LIKE '%@' || $3)
        ORDER BY at, id
        "#,
        from,
        to,
        EMAIL_DOMAIN,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

/// Updates the planner's statistics. Needs the owner's connection.
pub async fn analyze(conn: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query!(
        "ANALYZE organizations, users, memberships, devices, sessions, refresh_tokens, session_networks, audit_events,
            audit_chain, audit_unsealed"
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Users by column.
struct UserColumns {
    ids: Vec<UserId>,
    numbers: Vec<i32>,
    roles: Vec<Role>,
    organizations: Vec<Option<OrganizationId>>,
    live: Vec<i32>,
    ended: Vec<i32>,
    idle_seconds: Vec<f64>,
    lifetime_seconds: Vec<f64>,
}

impl UserColumns {
    fn of(people: &[SeededUser]) -> Self {
        fn column<T>(people: &[SeededUser], value: impl Fn(&SeededUser) -> T) -> Vec<T> {
            people.iter().map(value).collect()
        }
        Self {
            ids: column(people, |person| person.id),
            numbers: column(people, |person| person.number),
            roles: column(people, |person| person.role),
            organizations: column(people, |person| person.organization),
            live: column(people, |person| person.live),
            ended: column(people, |person| person.ended),
            idle_seconds: column(people, |person| person.limits.idle.as_secs_f64()),
            lifetime_seconds: column(people, |person| person.limits.lifetime.as_secs_f64()),
        }
    }
}
