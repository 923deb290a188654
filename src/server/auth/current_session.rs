//! What a request's credential resolved to.

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

/// A live session and whose it is.
#[derive(Clone, Debug)]
pub struct CurrentSession {
    pub id: SessionId,
    pub kind: ClientKind,
    /// What it was held by when this request was looked at.
    pub credential: HashedToken,
    pub user: User,
    /// The brokerage that the session looks at.
    pub organization: Option<Organization>,
    pub created_at: DateTime<Utc>,
    /// The last password check.
    pub authenticated_at: DateTime<Utc>,
    pub last_active_at: DateTime<Utc>,
    pub idle_expires_at: DateTime<Utc>,
    pub lifetime_expires_at: DateTime<Utc>,
    /// The idle timeout of its role, in seconds.
    pub idle_seconds: i64,
    /// What its client called itself last.
    pub user_agent: String,
    /// It has been used from the network of this request before.
    pub network_known: bool,
    /// The cookie is to be replaced with this request.
    pub rotation_due: bool,
    /// The number of the person's last event when the session was looked up; 0 for none.
    pub event_number: i64,
    /// The person may have questions to answer: "Was this you?"
    pub has_notices: bool,
    /// A page has something to say once.
    pub has_flash: bool,
    /// Nothing had come with this cookie before.
    pub cookie_unconfirmed: bool,
}

impl CurrentSession {
    /// When it ends if nothing more happens.
    pub fn expires_at(&self) -> DateTime<Utc> {
        self.idle_expires_at.min(self.lifetime_expires_at)
    }

    /// The same session, ended just now.
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

    /// The person did something: the idle end moves.
    pub fn record_activity(&mut self, now: DateTime<Utc>) {
        self.last_active_at = self.last_active_at.max(now);
        self.idle_expires_at = self.last_active_at + TimeDelta::seconds(self.idle_seconds);
    }
}

/// A session that the credential pointed at, and why it is over.
#[derive(Clone, Debug)]
pub struct EndedSession {
    pub session_id: SessionId,
    pub user_id: UserId,
    pub reason: EndReason,
    /// The end stands in the row. False where time ran out and nobody has written it down yet.
    pub written: bool,
    /// What an administrator wrote.
    pub note: Option<String>,
    /// The limits that it lived under, in seconds.
    pub idle_seconds: i64,
    pub lifetime_seconds: i64,
}

impl EndedSession {
    /// What the person reads at sign-in.
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

/// A cookie that was replaced by one that nothing has come with yet.
#[derive(Clone, Copy, Debug)]
pub struct ReplacedCookie {
    pub session: SessionId,
    pub user: UserId,
    /// The old cookie, as it was shown.
    pub credential: HashedToken,
}

/// Who a request comes from. In every request's extensions once [`super::identify`] has run.
#[derive(Clone, Debug)]
pub enum Identity {
    /// No credential, or one that was never ours.
    Anonymous,
    /// A credential of a session that is over.
    Ended(EndedSession),
    /// A cookie that was replaced, by one that nothing has come with yet: the answer was lost, or is still on its way. It
    /// opens nothing, and the browser keeps whatever cookie it has by now.
    Replaced(ReplacedCookie),
    SignedIn(Arc<CurrentSession>),
}

impl Identity {
    /// The live session, or the error that says why there is none.
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

/// Where a request comes from, as far as it can be told.
#[derive(Clone, Debug)]
pub struct Client {
    pub ip_address: std::net::IpAddr,
    pub user_agent: String,
    /// The browser sent the client hints of Chromium.
    pub has_chromium_hints: bool,
    /// The mark by which a browser is known that has signed in before. No credential.
    pub known_browser: Option<PlainToken>,
}

impl Client {
    pub fn network(&self) -> Network {
        Network::of(self.ip_address)
    }

    /// What its requests tell of the browser.
    pub fn signature(&self) -> ClientSignature<'_> {
        ClientSignature {
            user_agent: &self.user_agent,
            has_chromium_hints: self.has_chromium_hints,
        }
    }
}
