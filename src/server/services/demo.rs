//! Demo accounts: five users with their organizations, and live and ended sessions.
//!
//! The credentials of these sessions are random and not stored anywhere.

use std::{net::IpAddr, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;

use super::{
    accounts::{AccountError, Accounts, NewAccount, RegisteredAccount},
    revoke,
};
use domain::{
    ids::{SessionId, UserId},
    security_notice::NoticeRule,
    session::{ClientKind, EndReason},
    user::Role,
};

use crate::server::{
    auth::{
        client::{BrowserNames, Network},
        token::PlainToken,
    },
    database::Transaction,
    store::{
        audit::{self, Actor, AuditEvent},
        devices::{self, DeviceDetails},
        networks,
        security_notices::{self, NewNotice},
        sessions::{self, EndFilter, NewSession},
        users,
    },
};

/// The password of all demo accounts. It is public; see the check in `config`.
pub const PASSWORD: &str = "demo-portal-pass";

const BROKERAGE: &str = "Northgate Brokerage";
const SECOND_BROKERAGE: &str = "Harbour Partners";

/// Email, name and role of the demo accounts.
pub const ACCOUNTS: [(&str, &str, Role); 5] = [
    ("broker@demo.example", "Maria Keller", Role::Broker),
    ("employee@demo.example", "Jonas Weber", Role::Employee),
    ("vendor@demo.example", "Aiko Tanaka", Role::Vendor),
    ("guest@demo.example", "Samuel Okafor", Role::Guest),
    ("admin@demo.example", "Ines Duarte", Role::Admin),
];

enum DemoClient {
    Browser(&'static str),
    Desktop {
        id: &'static str,
        name: &'static str,
        os: &'static str,
        platform: &'static str,
    },
}

const CHROME_WINDOWS: DemoClient = DemoClient::Browser(
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/148.0.0.0 Safari/537.36",
);
const SAFARI_IPHONE: DemoClient = DemoClient::Browser(
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1",
);
const FIREFOX_LINUX: DemoClient =
    DemoClient::Browser("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0");
const MACBOOK: DemoClient = DemoClient::Desktop {
    id: "demo-macbook",
    name: "Maria's MacBook",
    os: "macOS 15",
    platform: "macos-arm64",
};
const OFFICE_PC: DemoClient = DemoClient::Desktop {
    id: "demo-office-pc",
    name: "Office PC 14",
    os: "Windows 11",
    platform: "windows-x64",
};

/// The address of the session with a security notice.
const UNUSUAL_ADDRESS: &str = "192.0.2.80";

/// A demo session: email, client, address, minutes since creation and since the last activity, and end reason.
struct DemoSession(
    &'static str,
    DemoClient,
    &'static str,
    i64,
    i64,
    Option<EndReason>,
);

const LIVE_SESSIONS: [DemoSession; 4] = [
    DemoSession("broker@demo.example", MACBOOK, "198.51.100.4", 190, 2, None),
    DemoSession("broker@demo.example", SAFARI_IPHONE, "192.0.2.80", 400, 95, None),
    DemoSession("employee@demo.example", OFFICE_PC, "203.0.113.20", 120, 12, None),
    DemoSession("vendor@demo.example", FIREFOX_LINUX, "203.0.113.77", 30, 5, None),
];

const ENDED_SESSIONS: [DemoSession; 5] = [
    DemoSession(
        "broker@demo.example",
        CHROME_WINDOWS,
        "203.0.113.7",
        3200,
        2900,
        Some(EndReason::SignedOut),
    ),
    DemoSession(
        "broker@demo.example",
        FIREFOX_LINUX,
        "198.51.100.9",
        4500,
        4400,
        Some(EndReason::Revoked),
    ),
    DemoSession(
        "employee@demo.example",
        CHROME_WINDOWS,
        "203.0.113.20",
        1900,
        1500,
        Some(EndReason::SignedOut),
    ),
    DemoSession(
        "guest@demo.example",
        SAFARI_IPHONE,
        "192.0.2.15",
        5000,
        4990,
        Some(EndReason::SignedOut),
    ),
    DemoSession(
        "admin@demo.example",
        CHROME_WINDOWS,
        "203.0.113.2",
        1600,
        1400,
        Some(EndReason::SignedOut),
    ),
];

/// Creates missing demo accounts with ended sessions. Creates live sessions for each user without one.
///
/// # Errors
/// Database errors and [`AccountError`].
pub async fn create_accounts(accounts: &Accounts) -> Result<(), AccountError> {
    for (email, name, role) in ACCOUNTS {
        let known = users::find_by_email(&mut *accounts.database.connection().await?, email).await?;
        if known.is_none() {
            let organizations = match role {
                Role::Broker => vec![BROKERAGE.to_owned(), SECOND_BROKERAGE.to_owned()],
                _ => vec![BROKERAGE.to_owned()],
            };
            let new = NewAccount {
                email: email.to_owned(),
                display_name: name.to_owned(),
                role,
                organizations,
                password: PASSWORD.to_owned(),
            };
            // If not new, another server has just created it.
            let RegisteredAccount { user, is_new, .. } = accounts.register(new).await?;
            if is_new {
                insert_sessions(accounts, user, email, &ENDED_SESSIONS).await?;
            }
        }
        if known.is_some_and(|account| account.disabled) {
            accounts.enable(email).await?;
        }
        let now = accounts.clock.now();
        let live = accounts.list_sessions(Some(email)).await?;
        if live.is_empty() {
            let found = users::find_by_email(&mut *accounts.database.connection().await?, email).await?;
            let user = found
                .ok_or_else(|| AccountError::NoSuchUser(email.to_owned()))?
                .id;
            insert_sessions(accounts, user, email, &LIVE_SESSIONS).await?;
        }
        tracing::debug!(email, %now, "demo account ready");
    }
    Ok(())
}

/// Disables the demo accounts of an earlier start, since their password is public.
///
/// # Errors
/// Database errors.
pub async fn disable_accounts(accounts: &Accounts) -> Result<(), AccountError> {
    for (email, ..) in ACCOUNTS {
        let known = users::find_by_email(&mut *accounts.database.connection().await?, email).await?;
        if known.is_some_and(|account| !account.disabled) {
            accounts.disable(email).await?;
            tracing::warn!(email, "demo account disabled, PORTAL_DEMO is off");
        }
    }
    Ok(())
}

async fn insert_sessions(
    accounts: &Accounts,
    user: UserId,
    email: &str,
    sessions: &[DemoSession],
) -> Result<(), AccountError> {
    let now = accounts.clock.now();
    for session in sessions.iter().filter(|session| session.0 == email) {
        let mut tx = accounts.database.begin().await?;
        users::lock(&mut tx, user).await?;
        insert_session(&mut tx, user, session, now).await?;
        tx.commit().await?;
    }
    Ok(())
}

async fn insert_session(
    tx: &mut Transaction,
    user: UserId,
    session: &DemoSession,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let DemoSession(_, client, address, created_at, last_active, ended) = session;
    let ip_address: IpAddr = address.parse().unwrap_or(IpAddr::from([192, 0, 2, 1]));
    let created_at = now - TimeDelta::minutes(*created_at);
    let last_active = now - TimeDelta::minutes(*last_active);
    let id = SessionId::new();
    let actor = Actor::new_session(user, id, ip_address);
    let Some(account) = users::lock(tx, user).await? else {
        return Ok(());
    };

    let (names, device) = match client {
        DemoClient::Browser(agent) => (Some(BrowserNames::parse(agent)), None),
        DemoClient::Desktop {
            id,
            name,
            os,
            platform,
        } => {
            let facts = DeviceDetails {
                device_id: id,
                device_name: name,
                os,
                platform,
                app_version: Some("2.4.0"),
            };
            (None, Some(devices::register(tx, user, &facts, created_at).await?))
        }
    };
    if let Some(device) = device {
        // An expired session of an earlier start.
        sessions::end_for_device(tx, device, user, created_at).await?;
    }
    let kind = match client {
        DemoClient::Browser(_) => ClientKind::Browser,
        DemoClient::Desktop { .. } => ClientKind::Desktop,
    };
    let unused_token = PlainToken::generate().map_err(|error| sqlx::Error::Protocol(error.to_string()))?;
    let new = NewSession {
        id,
        user,
        organization: sessions::load_last_organization(tx, user).await?,
        kind,
        device,
        credential: unused_token.hash(),
        credential_expires_at: device.map(|_| last_active + Duration::from_secs(900)),
        epoch: account.epoch,
        ip_address,
        user_agent: if let DemoClient::Browser(agent) = client {
            agent
        } else {
            "Broker Portal Desktop/2.4.0"
        },
        browser: names.as_ref().and_then(|names| names.browser.as_deref()),
        os: names.as_ref().and_then(|names| names.os.as_deref()),
        platform: names.as_ref().map(|names| names.platform),
        known_browser: None,
    };
    sessions::insert(tx, new, created_at).await?;
    networks::record(tx, id, Network::of(ip_address), created_at).await?;
    sessions::record_activity(tx, &[id], &[last_active], &[Some(last_active)]).await?;
    let device_name = match (client, &names) {
        (DemoClient::Desktop { name, .. }, _) => (*name).to_owned(),
        (_, Some(names)) => names.device_name.clone(),
        _ => String::new(),
    };
    let mut event = AuditEvent::signed_in(actor, kind, &device_name);
    event.detail["demo"] = json!(true);
    audit::record(tx, event, created_at).await?;
    if *address == UNUSUAL_ADDRESS && ended.is_none() {
        let notice = NewNotice {
            user,
            session: id,
            rules: &[NoticeRule::NewDevice],
            ip_address,
            failures: None,
            cause: None,
        };
        security_notices::insert(tx, notice, created_at).await?;
    }
    if let Some(reason) = ended {
        let filter = EndFilter::One(user, id);
        revoke::revoke_matching(tx, filter, *reason, None, actor, last_active).await?;
    }
    Ok(())
}
