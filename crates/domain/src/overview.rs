//! What users see about themselves: header, dashboard and list of sessions.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{
    organization::Membership, security_notice::SecurityNotice, session::Session, session_state::SessionState,
    theme::Theme,
};

/// The signed-in user, for the frame of every page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Viewer {
    /// State of the session for which the page was rendered.
    pub state: SessionState,
    /// All organizations of the user, by name.
    pub memberships: Vec<Membership>,
    /// The theme chosen in this browser.
    pub theme: Theme,
}

/// The user's live sessions and open security notices at one time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActiveSessions {
    pub sessions: Vec<Session>,
    pub notices: Vec<SecurityNotice>,
    /// Ages are calculated from the server's time, because the browser's clock may be wrong.
    #[serde(with = "super::time::wire")]
    pub server_time: DateTime<Utc>,
}

/// The data of the dashboard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overview {
    pub browsers: usize,
    pub desktops: usize,
    /// The session of this request.
    pub current: Option<Session>,
    /// The last sign-in before the one that created this session.
    pub previous_sign_in: Option<PreviousSignIn>,
    pub attention: Vec<AttentionItem>,
    #[serde(with = "super::time::wire")]
    pub server_time: DateTime<Utc>,
}

/// An earlier sign-in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreviousSignIn {
    #[serde(with = "super::time::wire")]
    pub at: DateTime<Utc>,
    pub device_name: Option<String>,
    pub ip_address: Option<String>,
}

/// Something that the user should check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Wire", into = "Wire")]
pub enum AttentionItem {
    /// Open security notices.
    SecurityNotices { count: u32 },
    /// Refused sign-ins to the account since the previous sign-in.
    FailedSignIns { count: u32 },
    /// A device that was signed out when this session began, because of the session limit.
    SignedOutForLimit { device_name: String },
    /// The user has as many sessions as the role allows.
    AtSessionLimit { limit: usize },
}

/// [`AttentionItem`] in JSON. Flat, because an enum with fields adds a deserializer per variant to the browser module.
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
