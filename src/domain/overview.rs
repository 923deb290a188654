//! What the portal tells a person of themselves: the header, the dashboard, the list of sessions.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{
    ids::SessionId,
    organization::{Membership, Organization},
    session::Session,
    theme::Theme,
    user::User,
};

/// Who is signed in, for the frame of every page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Viewer {
    pub user: User,
    /// The brokerage that the session looks at.
    pub organization: Option<Organization>,
    /// Every brokerage that the person belongs to, by name.
    pub memberships: Vec<Membership>,
    pub session_id: SessionId,
    /// What this browser chose.
    pub theme: Theme,
}

/// The live sessions of a person and when that was so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActiveSessions {
    pub sessions: Vec<Session>,
    /// The server's time: ages are counted from it, whatever the browser's own clock says.
    #[serde(with = "super::time::wire")]
    pub server_time: DateTime<Utc>,
}

/// What the dashboard shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overview {
    pub browsers: usize,
    pub desktops: usize,
    /// The session that asks.
    pub current: Option<Session>,
    /// The sign-in before the one that began this session.
    pub previous_sign_in: Option<PreviousSignIn>,
    pub attention: Vec<Attention>,
    #[serde(with = "super::time::wire")]
    pub server_time: DateTime<Utc>,
}

/// A sign-in before this one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreviousSignIn {
    #[serde(with = "super::time::wire")]
    pub at: DateTime<Utc>,
    pub device_name: Option<String>,
    pub ip_address: Option<String>,
}

/// What a person should look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Attention {
    /// Unanswered questions about something unusual.
    SecurityNotices { count: u32 },
    /// Refused sign-ins on this account since the previous sign-in.
    FailedSignIns { count: u32 },
    /// A device that was signed out when this session began, because the role allows no more.
    SignedOutForLimit { device_name: String },
    /// As many sessions as the role allows.
    AtSessionLimit { limit: usize },
}
