//! The identity of a request: the session of its credential.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use domain::{
    ids::{SessionId, UserId},
    organization::Organization,
    session::{ClientKind, EndReason},
    user::User,
};

use super::{
    client::{ClientSignature, Network},
    token::{HashedToken, PlainToken},
};
use crate::error::AppError;

/// A live session with its user.
#[derive(Clone, Debug)]
pub struct CurrentSession {
    pub id: SessionId,
    pub kind: ClientKind,
    /// The hash of the session's credential when this request was authenticated.
    pub credential: HashedToken,
    pub user: User,
    /// The active organization.
    pub organization: Option<Organization>,
    pub created_at: DateTime<Utc>,
    /// The last password check.
    pub authenticated_at: DateTime<Utc>,
    pub last_active_at: DateTime<Utc>,
    pub idle_expires_at: DateTime<Utc>,
    pub lifetime_expires_at: DateTime<Utc>,
    /// Idle timeout of the role in seconds.
    pub idle_seconds: i64,
    /// The last User-Agent of its client.
    pub user_agent: String,
    /// The session has been used from this request's network before.
    pub network_known: bool,
    /// The cookie must be replaced with this response.
    pub rotation_due: bool,
    /// The number of the user's last session event at lookup; 0 for none.
    pub event_number: i64,
    /// The user may have open security notices.
    pub has_notices: bool,
    /// A page has a flash message.
    pub has_flash: bool,
    /// This is the first request with this cookie.
    pub cookie_unconfirmed: bool,
}

impl CurrentSession {
    /// When the session expires without further activity.
    pub fn expires_at(&self) -> DateTime<Utc> {
        self.idle_expires_at.min(self.lifetime_expires_at)
    }

    /// The same session after it ended with `reason`.
    pub fn ended(&self, reason: EndReason) -> EndedSession {
        EndedSession {
            session_id: self.id,
            user_id: self.user.id,
            reason,
            written: true,
            note: None,
            idle_seconds: self.idle_seconds,
            lifetime_seconds: (self.lifetime_expires_at - self.created_at).num_seconds(),
        }
    }

    /// Records user activity, which moves the idle timeout.
    pub fn record_activity(&mut self, now: DateTime<Utc>) {
        self.last_active_at = self.last_active_at.max(now);
        self.idle_expires_at = self.last_active_at + TimeDelta::seconds(self.idle_seconds);
    }
}

/// An ended session that the credential belongs to.
#[derive(Clone, Debug)]
pub struct EndedSession {
    pub session_id: SessionId,
    pub user_id: UserId,
    pub reason: EndReason,
    /// The end is recorded in the row. False if the session has expired and nobody has recorded it yet.
    pub written: bool,
    /// The note of the administrator who revoked it.
    pub note: Option<String>,
    /// The limits of the session, in seconds.
    pub idle_seconds: i64,
    pub lifetime_seconds: i64,
}

impl EndedSession {
    /// The message for the user at sign-in.
    pub fn message(&self) -> String {
        let message = self
            .reason
            .message_with_limits(self.idle_seconds, self.lifetime_seconds);
        match &self.note {
            Some(note) => format!("{message} Reason given: {note}"),
            None => message,
        }
    }
}

/// A replaced cookie whose successor has not been used yet.
#[derive(Clone, Copy, Debug)]
pub struct ReplacedCookie {
    pub session: SessionId,
    pub user: UserId,
    /// The hash of the old cookie.
    pub credential: HashedToken,
}

/// The identity of a request. In the extensions of every request after `http::identify`.
#[derive(Clone, Debug)]
pub enum Identity {
    /// No credential, or an unknown one.
    Anonymous,
    /// The credential of an ended session.
    Ended(EndedSession),
    /// A replaced cookie whose successor has not been used yet: the response with the new cookie was lost or is in progress.
    /// Grants no access. The browser keeps its current cookie.
    Replaced(ReplacedCookie),
    SignedIn(Arc<CurrentSession>),
}

impl Identity {
    /// The live session, or an error with the end reason.
    ///
    /// # Errors
    /// [`AppError::SessionEnded`] with the reason.
    pub fn signed_in(&self) -> Result<Arc<CurrentSession>, AppError> {
        match self {
            Identity::SignedIn(session) => Ok(session.clone()),
            Identity::Ended(ended) => Err(AppError::SessionEnded { reason: ended.reason }),
            Identity::Replaced(_) => Err(AppError::SessionEnded {
                reason: EndReason::RenewalLost,
            }),
            Identity::Anonymous => Err(AppError::SessionEnded {
                reason: EndReason::Unknown,
            }),
        }
    }
}

/// The client that sent a request.
#[derive(Clone, Debug)]
pub struct Client {
    pub ip_address: std::net::IpAddr,
    pub user_agent: String,
    /// The browser sent Chromium's client hints.
    pub has_chromium_hints: bool,
    /// The token of a known browser. Not a credential.
    pub known_browser: Option<PlainToken>,
}

impl Client {
    pub fn network(&self) -> Network {
        Network::of(self.ip_address)
    }

    /// The evidence for comparing clients.
    pub fn signature(&self) -> ClientSignature<'_> {
        ClientSignature {
            user_agent: &self.user_agent,
            has_chromium_hints: self.has_chromium_hints,
        }
    }
}
