//! What the portal tells a person of themselves: the header, the dashboard, the list of sessions.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{
    organization::Membership, security_notice::SecurityNotice, session::Session, session_state::SessionState,
    theme::Theme,
};

/// Who is signed in, for the frame of every page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Viewer {
    /// The session that the page was made for.
    pub state: SessionState,
    /// Every brokerage that the person belongs to, by name.
    pub memberships: Vec<Membership>,
    /// What this browser chose.
    pub theme: Theme,
}

/// The live sessions of a person, what they are asked about them, and when that was so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActiveSessions {
    pub sessions: Vec<Session>,
    /// "Was this you?"
    pub notices: Vec<SecurityNotice>,
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
    pub attention: Vec<AttentionItem>,
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
#[serde(from = "Wire", into = "Wire")]
pub enum AttentionItem {
    /// Unanswered questions about something unusual.
    SecurityNotices { count: u32 },
    /// Refused sign-ins on this account since the previous sign-in.
    FailedSignIns { count: u32 },
    /// A device that was signed out when this session began, because the role allows no more.
    SignedOutForLimit { device_name: String },
    /// As many sessions as the role allows.
    AtSessionLimit { limit: usize },
}

/// [`AttentionItem`] as it travels: flat, since each variant with fields is a reader of its own in the browser's part.
#[derive(Serialize, Deserialize)]
struct Wire {
    kind: String,
    count: u32,
    device_name: String,
}

impl From<AttentionItem> for Wire {
    fn from(attention: AttentionItem) -> Self {
        let (kind, count, device_name) = match attention {
            AttentionItem::SecurityNotices { count } => ("security_notices", count, String::new()),
            AttentionItem::FailedSignIns { count } => ("failed_sign_ins", count, String::new()),
            AttentionItem::SignedOutForLimit { device_name } => ("signed_out_for_limit", 0, device_name),
            AttentionItem::AtSessionLimit { limit } => {
                let limit = u32::try_from(limit).unwrap_or(u32::MAX);
                ("at_session_limit", limit, String::new())
            }
        };
        Wire {
            kind: kind.to_owned(),
            count,
            device_name,
        }
    }
}

impl From<Wire> for AttentionItem {
    fn from(wire: Wire) -> Self {
        let Wire {
            kind,
            count,
            device_name,
        } = wire;
        match kind.as_str() {
            "security_notices" => AttentionItem::SecurityNotices { count },
            "failed_sign_ins" => AttentionItem::FailedSignIns { count },
            "signed_out_for_limit" => AttentionItem::SignedOutForLimit { device_name },
            _ => AttentionItem::AtSessionLimit {
                limit: usize::try_from(count).unwrap_or(usize::MAX),
            },
        }
    }
}
