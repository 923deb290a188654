//! Sessions and users as administrators see them. No type here holds a credential.

use std::{fmt, str::FromStr};

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{
    ids::{SessionId, UserId},
    organization::Membership,
    people_filter::AccountStatus,
    session::{EndReason, Session},
    time,
    user::User,
};

/// Whether a credential of the session would authenticate now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub enum SessionStatus {
    Live,
    Ended,
}

/// A session with its user and status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct AdminSession {
    #[serde(flatten)]
    pub session: Session,
    /// The role is the one in the administrator's organization.
    pub user: User,
    pub state: SessionStatus,
    /// When the session ended. For an expired session: when it expired. `null` while it is live.
    #[serde(with = "optional_time")]
    pub ended_at: Option<DateTime<Utc>>,
    pub reason: Option<EndReason>,
    /// The administrator's note to the user.
    pub note: Option<String>,
    /// The user who revoked the session. `None` for expiry and rules.
    pub ended_by: Option<UserId>,
    /// A suspicion rule applied to the session.
    pub is_unusual: bool,
}

/// Serializes an optional time like [`time::wire`](super::time::wire).
mod optional_time {
    use chrono::{DateTime, Utc};
    use serde::{Serialize, Serializer};

    pub fn serialize<S: Serializer>(time: &Option<DateTime<Utc>>, serializer: S) -> Result<S::Ok, S::Error> {
        time.map(super::time::format_rfc3339).serialize(serializer)
    }
}

/// One event in the history of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimelineEntry {
    pub at: DateTime<Utc>,
    /// A few words: "Signed in", "New network".
    pub what: String,
    /// Details: the network, the actor or the reason.
    pub more: Option<String>,
}

/// A user as an administrator sees them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminUser {
    /// The role is the one in the administrator's organization.
    pub user: User,
    /// A member of the organization in the administrator's scope.
    pub is_member: bool,
    pub is_disabled: bool,
    /// Disabled by an operator, a system administrator or an administrator of another organization.
    pub is_disabled_from_outside: bool,
    /// The user must choose a new password at the next sign-in.
    pub password_change_required: bool,
    /// The user also belongs to another organization, or is a system administrator.
    pub has_other_access: bool,
}

/// A row of the list of users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedUser {
    /// The role is the one in the administrator's organization. For system administrators: the user's own role.
    pub user: User,
    pub status: AccountStatus,
    /// All memberships. Filled for system administrators only.
    pub memberships: Vec<Membership>,
    /// Number of live sessions.
    pub live: usize,
    pub last_active: LastActive,
}

/// When a user was last active.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastActive {
    At(DateTime<Utc>),
    /// Before the retention time: the sessions have been deleted.
    BeforeRetention,
    /// The user has never signed in.
    Never,
}

/// Progress of a bulk revocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct RevokeProgress {
    /// Sessions that this request revoked.
    pub ended: usize,
    /// Sessions that remain. The client repeats the request.
    pub left: usize,
}

/// Limits a bulk revocation to sessions that existed when it began, so that users who sign in again stay signed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cutoff {
    /// Sessions with at most this session number. Independent of any node's clock.
    Number(i64),
    /// Sessions with `created_at` at or before this time, which the client chose.
    Time(DateTime<Utc>),
}

/// The text is neither a number nor a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a cutoff is a number or a time")]
pub struct InvalidCutoff;

impl FromStr for Cutoff {
    type Err = InvalidCutoff;

    fn from_str(text: &str) -> Result<Self, InvalidCutoff> {
        match text.parse() {
            Ok(number @ 0..) => Ok(Cutoff::Number(number)),
            _ => time::parse_time(text).map(Cutoff::Time).ok_or(InvalidCutoff),
        }
    }
}

impl fmt::Display for Cutoff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cutoff::Number(number) => number.fmt(f),
            Cutoff::Time(at) => f.write_str(&time::format_rfc3339(*at)),
        }
    }
}

/// The sessions that a revoke request selects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RevokeTarget {
    /// Live sessions that match the filter.
    Filter(super::session_filter::SessionFilter),
    /// Sessions by id.
    Sessions(Vec<SessionId>),
    /// All sessions of one user.
    AllOfUser(UserId),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cutoff_round_trips_through_text() {
        for text in ["0", "1742", "2026-11-20T17:42:03.120Z"] {
            let cutoff: Cutoff = text.parse().expect(text);
            assert_eq!(cutoff.to_string(), text);
        }
        for text in ["", "-1", "yesterday", "99999999999999999999"] {
            assert_eq!(text.parse::<Cutoff>(), Err(InvalidCutoff), "{text}");
        }
    }
}
