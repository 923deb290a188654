//! Sessions as users and administrators see them.

use chrono::{DateTime, TimeDelta, Utc};

use crate::server::{
    auth::client::BrowserNames,
    store::sessions::{SessionClient, SessionRow},
};
use domain::{ids::SessionId, session::Session};

/// The name of a client: as a desktop app reported it, otherwise that of the browser.
pub fn client_name(client: SessionClient) -> String {
    client
        .device_name
        .unwrap_or_else(|| BrowserNames::parse(&client.user_agent).device_name)
}

/// A stored session with the name of its client. `active` is its activity that this node has not written yet.
pub fn build(row: SessionRow, active: Option<DateTime<Utc>>, current: Option<SessionId>) -> Session {
    let last_active_at = active.map_or(row.last_active_at, |active| row.last_active_at.max(active));
    let idle_expires_at = last_active_at + TimeDelta::seconds(row.idle_seconds);
    Session {
        id: row.id,
        kind: row.kind,
        device_name: client_name(row.client),
        os: row.os,
        platform: row.platform,
        browser: row.browser,
        ip_address: row.ip_address,
        created_at: row.created_at,
        last_active_at,
        last_seen_at: active.map_or(row.last_seen_at, |active| row.last_seen_at.max(active)),
        expires_at: idle_expires_at.min(row.lifetime_expires_at),
        is_current: current == Some(row.id),
    }
}
