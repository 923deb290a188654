//! The state of a session as its own client sees it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{ids::SessionId, organization::Organization, session::ClientKind, time, user::User};

/// A live session as its own client sees it. Holds no credential.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct SessionState {
    /// Always `true`: a client without a session gets an error.
    pub authenticated: bool,
    pub session: SessionTimes,
    pub user: User,
    /// The active organization of the session.
    pub organization: Option<Organization>,
    /// The server's time when the session was loaded. The remaining time is relative to it, because the client's clock
    /// may be wrong.
    #[serde(with = "time::wire")]
    pub server_time: DateTime<Utc>,
    /// Number of the user's last event when the session was loaded; 0: none. Open the stream with `?after=` this number
    /// to miss no event.
    pub event_number: i64,
}

/// The session and its expiry times.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct SessionTimes {
    pub id: SessionId,
    pub kind: ClientKind,
    #[serde(with = "time::wire")]
    pub created_at: DateTime<Utc>,
    /// When the lifetime ends.
    #[serde(with = "time::wire")]
    pub expires_at: DateTime<Utc>,
    /// When the idle timeout ends without further activity. May be later than `expires_at`, which takes precedence.
    #[serde(with = "time::wire")]
    pub idle_expires_at: DateTime<Utc>,
    /// Last user action.
    #[serde(with = "time::wire")]
    pub last_active_at: DateTime<Utc>,
    /// Whether a sensitive action requires the password.
    pub reauth_required: bool,
    /// How many seconds before expiry to warn the user; 0: no warning.
    pub warning_seconds: u32,
}
