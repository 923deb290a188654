//! Sessions as administrators see them. Never a credential.

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

/// Whether a session would authenticate now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub enum SessionStatus {
    Live,
    Ended,
}

/// A session, whose it is, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct AdminSession {
    #[serde(flatten)]
    pub session: Session,
    /// The person, with the role in the organization that is looked at.
    pub user: User,
    pub state: SessionStatus,
    /// Since when it is over: for one whose time ran out, that time. `null` while it is live.
    #[serde(with = "optional_time")]
    pub ended_at: Option<DateTime<Utc>>,
    /// Why it is over.
    pub reason: Option<EndReason>,
    /// What the administrator who ended it wrote for the person.
    pub note: Option<String>,
    /// Who ended it; nobody where time or a rule did.
    pub ended_by: Option<UserId>,
    /// A rule found something unusual in it.
    pub is_unusual: bool,
    /// The idle timeout of its role, in seconds.
    #[serde(skip)]
    pub idle_seconds: i64,
    /// When it is over whatever happens.
    #[serde(skip)]
    pub lifetime_expires_at: DateTime<Utc>,
}

/// Times that may be missing, in the portal's own form.
mod optional_time {
    use chrono::{DateTime, Utc};
    use serde::{Serialize, Serializer};

    pub fn serialize<S: Serializer>(time: &Option<DateTime<Utc>>, serializer: S) -> Result<S::Ok, S::Error> {
        time.map(super::time::format_rfc3339).serialize(serializer)
    }
}

/// One thing that happened to a session, or around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimelineEntry {
    pub at: DateTime<Utc>,
    /// In a few words: "Signed in", "New network".
    pub what: String,
    /// From where, by whom, why.
    pub more: Option<String>,
}

/// Someone as an administrator sees them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminUser {
    /// With the role in the organization that is looked at.
    pub user: User,
    pub is_disabled: bool,
    /// A new password has to be chosen at the next sign-in.
    pub password_change_required: bool,
    /// They belong to other organizations too, or to the portal as a whole.
    pub has_other_access: bool,
}

/// Someone in a list of people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedUser {
    /// With the role in the organization that is looked at, or their own outside any.
    pub user: User,
    pub status: AccountStatus,
    /// Where everyone is looked at: what they are in which organization.
    pub memberships: Vec<Membership>,
    /// How many sessions they have that would authenticate now.
    pub live: usize,
    pub last_active: LastActive,
}

/// When someone last did something in the portal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastActive {
    At(DateTime<Utc>),
    /// Their sessions are not kept any more.
    BeforeRetention,
    /// They have never signed in.
    Never,
}

/// How far an end of many sessions has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct RevokeProgress {
    /// How many sessions this request ended.
    pub ended: usize,
    /// How many are left: send the same again.
    pub left: usize,
}

/// Up to which session a bulk revocation goes: users who sign in again meanwhile stay signed in.
///
/// A number does not depend on the clock of any node. A time is the client's own condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cutoff {
    /// Sessions up to this number: in the order in which the database created them.
    Number(i64),
    /// Sessions whose `created_at` is not later.
    Time(DateTime<Utc>),
}

/// The text names no cutoff.
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

/// Sessions of one request, by what it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RevokeTarget {
    /// What the filter lists, of what is live.
    Filter(super::session_filter::SessionFilter),
    /// These.
    Sessions(Vec<SessionId>),
    /// Every one of this person.
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
