//! What a client is told of its own session: that it is live, whose it is, when it ends.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{ids::SessionId, organization::Organization, session::ClientKind, time, user::User};

/// A live session as its own client sees it. Holds no credential.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct SessionState {
    /// Always: who is not signed in gets an error instead.
    pub authenticated: bool,
    pub session: SessionTimes,
    pub user: User,
    /// The brokerage that the session looks at.
    pub organization: Option<Organization>,
    /// The server's time: what is left of the session is counted from it, whatever the client's own clock says.
    #[serde(with = "time::wire")]
    pub server_time: DateTime<Utc>,
    /// The number of the person's last event when the session was looked up; 0 for none. A stream that is opened
    /// with `?after=` this number misses nothing since.
    pub event_number: i64,
}

/// Which session it is and when it ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct SessionTimes {
    pub id: SessionId,
    pub kind: ClientKind,
    /// When it began.
    #[serde(with = "time::wire")]
    pub created_at: DateTime<Utc>,
    /// When it is over whatever happens.
    #[serde(with = "time::wire")]
    pub expires_at: DateTime<Utc>,
    /// When it is over unless the person does something. May be later than `expires_at`, which wins.
    #[serde(with = "time::wire")]
    pub idle_expires_at: DateTime<Utc>,
    /// The person last did something in it.
    #[serde(with = "time::wire")]
    pub last_active_at: DateTime<Utc>,
    /// Sensitive actions would ask for the password.
    pub reauth_required: bool,
    /// So many seconds before its end the person is to be warned; 0 for no warning.
    pub warning_seconds: u32,
}
