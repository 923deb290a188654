//! Data for the header, the dashboard and the list of active sessions.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{
    organization::Membership, security_notice::SecurityNotice, session::Session, session_state::SessionState,
    theme::Theme,
};

/// The signed-in user, for the header of every page.
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
    /// The server's time when the data was loaded. Ages are relative to it, because the browser's clock may be wrong.
    #[serde(with = "super::time::wire")]
    pub server_time: DateTime<Utc>,
}

/// The data of the dashboard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overview {
    /// Number of live browser sessions.
    pub browsers: usize,
    /// Number of live desktop-app sessions.
    pub desktops: usize,
    /// The session of this request.
    pub current: Option<Session>,
    /// The sign-in before the current session.
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
#[serde(try_from = "AttentionItemJson", into = "AttentionItemJson")]
pub enum AttentionItem {
    /// Open security notices.
    SecurityNotices { count: u32 },
    /// Failed sign-ins since the previous sign-in.
    FailedSignIns { count: u32 },
    /// A device that was signed out for the session limit when the current session was created.
    SignedOutForLimit { device_name: String },
    /// The user has as many sessions as the role allows.
    AtSessionLimit { limit: usize },
}

/// [`AttentionItem`] in JSON. Flat, because an enum with fields adds a deserializer per variant to the browser module.
#[derive(Serialize, Deserialize)]
struct AttentionItemJson {
    kind: String,
    count: u32,
    device_name: String,
}

impl From<AttentionItem> for AttentionItemJson {
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
        Self {
            kind: kind.to_owned(),
            count,
            device_name,
        }
    }
}

impl TryFrom<AttentionItemJson> for AttentionItem {
    type Error = &'static str;

    fn try_from(json: AttentionItemJson) -> Result<Self, Self::Error> {
        let AttentionItemJson {
            kind,
            count,
            device_name,
        } = json;
        Ok(match kind.as_str() {
            "security_notices" => AttentionItem::SecurityNotices { count },
            "failed_sign_ins" => AttentionItem::FailedSignIns { count },
            "signed_out_for_limit" => AttentionItem::SignedOutForLimit { device_name },
            "at_session_limit" => AttentionItem::AtSessionLimit {
                limit: usize::try_from(count).unwrap_or(usize::MAX),
            },
            _ => return Err("unknown kind of attention item"),
        })
    }
}
