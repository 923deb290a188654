//! Fills an empty database with generated users and sessions, for load tests. Nobody can sign in as these users or use their
//! sessions.

#![expect(
    clippy::disallowed_types,
    reason = "a command's work takes as long as it takes, and its operator can stop it"
)]

use std::{
    cell::{Cell, RefCell},
    num::NonZeroU32,
    time::Duration,
};

use sha2::{Digest as _, Sha512};
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use super::accounts::Accounts;
use domain::{
    ids::{OrganizationId, UserId},
    policy::{RolePolicy, SessionPolicy},
    session::EndReason,
    user::Role,
};

use crate::server::{
    auth::{
        client::BrowserNames,
        password::{Password, PasswordError},
        password_queue::Requester,
        token::PlainToken,
    },
    database::DatabaseError,
    store::seed::{self as store, ClientNames, SeededUser},
};

/// The numbers of rows to create.
#[derive(Clone, Copy, Debug)]
pub struct SeedSize {
    pub people: NonZeroU32,
    pub organizations: NonZeroU32,
    /// Live sessions.
    pub sessions: u32,
    /// Ended sessions.
    pub ended: u32,
}

/// The numbers of created rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seeded {
    pub live: i64,
    pub ended: i64,
    pub audit_rows: u64,
    /// Users with more live sessions than their role allows.
    pub over_limit: usize,
}

/// Why seeding failed. Displayed as one line.
#[derive(Debug, thiserror::Error)]
pub enum SeedError {
    #[error(
        "this database has {0} accounts: seed an empty one, or use --i-know-this-fills-the-database if it is not in use"
    )]
    InUse(i64),
    #[error("this database was seeded before, perhaps partially: use an empty one")]
    SeededBefore,
    #[error(transparent)]
    Connection(#[from] DatabaseError),
    #[error(transparent)]
    Password(#[from] PasswordError),
    #[error("the database did not respond: {0}")]
    Database(#[from] sqlx::Error),
}

/// Approximate rows per transaction. A user's rows stay together.
const BATCH: i64 = 50_000;

/// Users per role, out of twenty.
const ROLES: [(Role, usize); 5] = [
    (Role::Admin, 1),
    (Role::Guest, 2),
    (Role::Vendor, 3),
    (Role::Employee, 4),
    (Role::Broker, 10),
];

/// Ended sessions per reason, out of twenty.
const REASONS: [(EndReason, usize); 8] = [
    (EndReason::SignedOut, 9),
    (EndReason::IdleTimeout, 4),
    (EndReason::LifetimeExceeded, 2),
    (EndReason::Revoked, 1),
    (EndReason::SignedOutEverywhere, 1),
    (EndReason::RevokedByAdmin, 1),
    (EndReason::PasswordChanged, 1),
    (EndReason::SessionLimit, 1),
];

const BROWSERS: [&str; 6] = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/148.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/147.0.0.0 Safari/537.36 Edg/147.0.0.0",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Safari/605.1.15",
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/148.0.0.0 Mobile Safari/537.36",
];

const DESKTOPS: [(&str, &str); 3] = [
    ("Windows 11", "windows-x64"),
    ("macOS 15", "macos-arm64"),
    ("Ubuntu 24.04", "linux-x64"),
];

/// The age of the oldest ended session, unless retention is shorter.
const PAST: Duration = Duration::from_secs(30 * 86_400);

/// The period whose audit rows are written in one transaction.
const WINDOW: Duration = Duration::from_secs(6 * 3600);

/// The number of such periods in 30 days.
const WINDOWS: u32 = 120;

/// Creates users and sessions in batches, then runs ANALYZE. `on_progress` receives the number of sessions after each batch. The
/// same size always creates the same users and sessions, relative to the current time.
///
/// # Errors
/// [`SeedError`]. Finished batches stay.
pub async fn seed_database(
    accounts: &Accounts,
    policy: &SessionPolicy,
    size: SeedSize,
    retention: Duration,
    even_if_in_use: bool,
    on_progress: impl Fn(i64),
) -> Result<Seeded, SeedError> {
    let mut conn = accounts.database.connect_without_limits().await?;
    let there = store::load_existing_users(&mut conn).await?;
    if there.seeded {
        return Err(SeedError::SeededBefore);
    }
    if there.people > 0 && !even_if_in_use {
        return Err(SeedError::InUse(there.people));
    }
    let now = accounts.clock.now();
    let organizations: Vec<_> = (1..=size.organizations.get())
        .map(|number| OrganizationId(deterministic_id("organization", number)))
        .collect();
    let people = people(&organizations, policy, size);
    let mut seeded = Seeded {
        over_limit: people
            .iter()
            .filter(|person| person.live > max_sessions(person.limits))
            .count(),
        ..Seeded::default()
    };
    // A random password that is not stored.
    let unused_token = PlainToken::generate().map_err(|error| PasswordError::Hash(error.to_string()))?;
    let password = Password::new(unused_token.reveal()).ok_or(PasswordError::Cancelled)?;
    let password_hash = {
        let turn = accounts.passwords.wait_for_turn(Requester::OPERATOR).await?;
        accounts.passwords.hash(&turn, password).await?
    };
    let clients = clients();
    let reasons: Vec<EndReason> = repeat_by_share(&REASONS).collect();
    // A day less, so that the next clean-up keeps them.
    let past = PAST.min(retention).mul_f64(29.0 / 30.0);

    let mut tx = conn.begin().await?;
    store::insert_organizations(&mut tx, &organizations, now).await?;
    tx.commit().await?;
    let batches = RefCell::new(batches(&people).enumerate());
    let (live, ended) = (Cell::new(0), Cell::new(0));
    let work = async || {
        let mut conn = accounts.database.connect_without_limits().await?;
        loop {
            let Some((number, batch)) = batches.borrow_mut().next() else {
                return Ok::<_, SeedError>(conn.close().await?);
            };
            let mut tx = conn.begin().await?;
            store::insert_users(&mut tx, batch, &password_hash, now).await?;
            let of_batch = store::insert_live_sessions(&mut tx, batch, &clients, now).await?;
            let ended_of_batch =
                store::insert_ended_sessions(&mut tx, batch, &clients, &reasons, past, now).await?;
            tx.commit().await?;
            live.set(live.get() + of_batch);
            ended.set(ended.get() + ended_of_batch);
            on_progress(live.get() + ended.get());
            // Replaces the query plans for empty tables.
            if number == 0 {
                store::analyze(&mut conn).await?;
            }
        }
    };
    // Two connections use two cores of the database.
    tokio::try_join!(work(), work())?;
    (seeded.live, seeded.ended) = (live.get(), ended.get());
    // Last and in the order of time, since verification reports backdated rows.
    let mut from = None;
    for to in (0..=WINDOWS).rev().map(|left| now - WINDOW * left) {
        let mut tx = conn.begin().await?;
        seeded.audit_rows += store::insert_audit_events(&mut tx, from, to).await?;
        tx.commit().await?;
        from = Some(to);
    }
    finish(conn).await?;
    Ok(seeded)
}

async fn finish(mut conn: PgConnection) -> sqlx::Result<()> {
    store::analyze(&mut conn).await?;
    conn.close().await
}

fn people(organizations: &[OrganizationId], policy: &SessionPolicy, size: SeedSize) -> Vec<SeededUser> {
    let roles: Vec<Role> = repeat_by_share(&ROLES).collect();
    let numbers = 1..=size.people.get();
    let limits: Vec<i32> = numbers
        .clone()
        .zip(roles.iter().cycle())
        .map(|(_, role)| max_sessions(policy.for_role(*role)))
        .collect();
    let live = distribute(&limits, size.sessions);
    let ended = distribute(&vec![0; limits.len()], size.ended);
    numbers
        .zip(roles.into_iter().cycle())
        .zip(live.into_iter().zip(ended))
        // Twenty consecutive users, with all roles, share an organization.
        .zip(organizations.iter().flat_map(|id| [*id; 20]).cycle())
        .map(|(((number, role), (live, ended)), organization)| SeededUser {
            id: UserId(deterministic_id("person", number)),
            number: i32::try_from(number).unwrap_or(i32::MAX),
            role,
            limits: policy.for_role(role),
            // Guests belong to none.
            organization: (role != Role::Guest).then_some(organization),
            live,
            ended,
        })
        .collect()
}

fn max_sessions(limits: RolePolicy) -> i32 {
    i32::try_from(limits.max_sessions).unwrap_or(i32::MAX)
}

/// Sessions per user: evenly up to their limits, and the rest evenly above.
fn distribute(limits: &[i32], sessions: u32) -> Vec<i32> {
    let mut counts = vec![0; limits.len()];
    let mut left = sessions;
    let mut within_limits = true;
    while left > 0 && !counts.is_empty() {
        let before = left;
        for (count, limit) in counts.iter_mut().zip(limits) {
            if left > 0 && (!within_limits || *count < *limit) {
                *count += 1;
                left -= 1;
            }
        }
        within_limits &= left < before;
    }
    counts
}

/// Splits users into batches of about [`BATCH`] rows.
fn batches(mut people: &[SeededUser]) -> impl Iterator<Item = &[SeededUser]> {
    std::iter::from_fn(move || {
        let mut rows = 0;
        let full = people.iter().position(|person| {
            rows += 1 + i64::from(person.live) + i64::from(person.ended);
            rows >= BATCH
        });
        let (batch, rest) = people.split_at(full.map_or(people.len(), |last| last + 1));
        people = rest;
        (!batch.is_empty()).then_some(batch)
    })
}

/// Repeats each value as often as its share.
fn repeat_by_share<T: Copy>(shares: &[(T, usize)]) -> impl Iterator<Item = T> {
    shares
        .iter()
        .flat_map(|(value, share)| std::iter::repeat_n(*value, *share))
}

/// An id that is the same for each number.
fn deterministic_id(what: &str, number: u32) -> Uuid {
    let hash = Sha512::digest(format!("seeded {what} {number}"));
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash[..16]);
    Uuid::from_bytes(bytes)
}

fn clients() -> ClientNames {
    let mut clients = ClientNames::default();
    for agent in BROWSERS {
        let names = BrowserNames::parse(agent);
        clients.user_agents.push(agent.to_owned());
        clients.browsers.push(names.browser.unwrap_or_default());
        clients.systems.push(names.os.unwrap_or_default());
        clients.platforms.push(names.platform.to_owned());
    }
    for (system, platform) in DESKTOPS {
        clients.desktop_systems.push(system.to_owned());
        clients.desktop_platforms.push(platform.to_owned());
    }
    clients
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeded_sessions_fill_the_limits_first() {
        assert_eq!(distribute(&[2, 5, 1], 0), [0, 0, 0]);
        assert_eq!(distribute(&[2, 5, 1], 2), [1, 1, 0]);
        assert_eq!(distribute(&[2, 5, 1], 6), [2, 3, 1]);
        assert_eq!(distribute(&[2, 5, 1], 8), [2, 5, 1]);
        assert_eq!(distribute(&[2, 5, 1], 12), [4, 6, 2]);
        assert_eq!(distribute(&[0, 0], 5), [3, 2]);
    }

    #[test]
    fn every_browser_and_system_has_a_name() {
        let clients = clients();
        for name in [clients.browsers, clients.systems, clients.platforms].concat() {
            assert!(!name.is_empty());
        }
    }

    #[test]
    fn batches_hold_each_user_once_within_limits() {
        let person = |number| SeededUser {
            id: UserId(deterministic_id("person", 1)),
            number,
            role: Role::Broker,
            limits: SessionPolicy::default().for_role(Role::Broker),
            organization: None,
            live: 999,
            ended: 0,
        };
        let people: Vec<_> = (1..=101).map(person).collect();
        let sizes: Vec<_> = batches(&people).map(<[_]>::len).collect();
        assert_eq!(sizes, [50, 50, 1]);
        assert_eq!(batches(&[]).count(), 0);
    }
}
