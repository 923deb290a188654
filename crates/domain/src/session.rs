//! Sessions and why they end.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{ids::SessionId, named_values::named_values, time};

named_values! {
    /// The kind of client that holds a session.
    #[cfg_attr(feature = "server", derive(utoipa::ToSchema), schema(rename_all = "snake_case"))]
    pub enum ClientKind {
        /// A web browser, with a cookie.
        Browser = "browser";
        /// The desktop app, with an access token and a refresh token.
        Desktop = "desktop";
    }
}

/// A live session as its user sees it. Holds no credential.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Session {
    pub id: SessionId,
    pub kind: ClientKind,
    /// "Maria's MacBook" for a desktop app, "Chrome on Windows" for a browser.
    pub device_name: String,
    /// With the version if known: "macOS 15".
    pub os: Option<String>,
    /// `desktop`, `phone` or `tablet` for a browser; free text for a desktop app.
    pub platform: Option<String>,
    /// With the version: "Chrome 148".
    pub browser: Option<String>,
    pub ip_address: String,
    #[serde(with = "time::wire")]
    pub created_at: DateTime<Utc>,
    /// Last user action.
    #[serde(with = "time::wire")]
    pub last_active_at: DateTime<Utc>,
    /// Last contact of the client, with or without a user action.
    #[serde(with = "time::wire")]
    pub last_seen_at: DateTime<Utc>,
    /// When the session expires without further activity.
    #[serde(with = "time::wire")]
    pub expires_at: DateTime<Utc>,
    /// The session of this request.
    pub is_current: bool,
}

impl Session {
    /// The name with its kind: "Chrome on Windows (this browser)", "Maria's MacBook, desktop app".
    pub fn descriptive_name(&self) -> String {
        match (self.is_current, self.kind) {
            (true, ClientKind::Browser) => format!("{} (this browser)", self.device_name),
            (true, ClientKind::Desktop) => format!("{} (this device)", self.device_name),
            (false, ClientKind::Browser) => self.device_name.clone(),
            (false, ClientKind::Desktop) => format!("{}, desktop app", self.device_name),
        }
    }
}

/// Which of the user's live sessions to revoke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RevokeScope {
    /// The caller's session.
    Current,
    /// One session by id.
    One(SessionId),
    /// All except the caller's session.
    Others,
    /// All, including the caller's session.
    All,
}

named_values! {
    /// Why a session ended. The names are public: the API, URLs and the database contain them.
    #[cfg_attr(feature = "server", derive(utoipa::ToSchema), schema(rename_all = "snake_case"))]
    pub enum EndReason {
        SignedOut = "signed_out", "Signed out";
        SignedOutEverywhere = "signed_out_everywhere", "Signed out everywhere";
        Revoked = "revoked", "Ended from another device";
        RevokedByAdmin = "revoked_by_admin", "Ended by an administrator";
        PasswordChanged = "password_changed", "Password changed";
        SessionLimit = "session_limit", "Too many sessions";
        IdleTimeout = "idle_timeout", "No activity";
        LifetimeExceeded = "lifetime_exceeded", "Lifetime over";
        AccountDisabled = "account_disabled", "Account disabled";
        TokenReuse = "token_reuse", "Refresh token shown twice";
        ClientChanged = "client_changed", "Used in another browser";
        /// The cookie was rotated, but the browser did not receive the new one. Only this browser gets this reason; the
        /// session is live.
        RenewalLost = "renewal_lost", "New cookie not received";
        /// The session is not known, or the request had no credential.
        Unknown = "unknown", "Unknown";
    }
}

impl EndReason {
    /// The request may have used a cookie that was rotated meanwhile. Another check decides.
    pub fn can_be_stale(self) -> bool {
        matches!(self, EndReason::Unknown | EndReason::RenewalLost)
    }

    /// Only a reason for refusing requests; no session is stored with it.
    pub fn is_never_recorded(self) -> bool {
        matches!(self, EndReason::Unknown | EndReason::RenewalLost)
    }

    /// The message that the user reads at sign-in.
    pub fn message(self) -> &'static str {
        match self {
            EndReason::SignedOut => "You have signed out.",
            EndReason::SignedOutEverywhere => {
                "Your session was ended from another device. Please sign in again."
            }
            EndReason::Revoked => "This session was ended from another device. Please sign in again.",
            EndReason::RevokedByAdmin => "An administrator ended your session.",
            EndReason::PasswordChanged => "Your password was changed, so this device was signed out.",
            EndReason::SessionLimit => {
                "You signed in on more devices than your role allows, so the least recently used one was signed out."
            }
            EndReason::IdleTimeout => {
                "You were signed out after a time without activity. Please sign in again."
            }
            EndReason::LifetimeExceeded => {
                "For your security you need to sign in again from time to time, however active you are."
            }
            EndReason::AccountDisabled => "This account cannot sign in. Contact your administrator.",
            EndReason::TokenReuse => {
                "This session was ended because it was renewed twice. Usually an answer was lost on the network. If you see \
                 a sign-in that was not you, change your password."
            }
            EndReason::ClientChanged => {
                "We saw this session used from somewhere it was not started, and ended it. If that was not you, \
                 change your password."
            }
            EndReason::RenewalLost => {
                "Your sign-in was renewed, but this browser did not receive the answer. Please sign in again."
            }
            EndReason::Unknown => "Please sign in again.",
        }
    }

    /// The message with the limits of the session, for reasons that depend on time.
    ///
    /// `idle_seconds` and `lifetime_seconds` are the limits that applied to the session.
    pub fn message_with_limits(self, idle_seconds: i64, lifetime_seconds: i64) -> String {
        match self {
            EndReason::IdleTimeout => {
                format!(
                    "You were signed out after {} without activity.",
                    time::format_duration(idle_seconds)
                )
            }
            EndReason::LifetimeExceeded => {
                let often = match lifetime_seconds {
                    86_400 => "once a day".to_owned(),
                    604_800 => "once a week".to_owned(),
                    seconds => format!("every {}", time::format_duration(seconds)),
                };
                format!("For your security you need to sign in again {often}.")
            }
            other => other.message().to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_message() {
        for reason in EndReason::ALL {
            assert!(reason.message().ends_with('.'));
        }
    }

    #[test]
    fn time_limit_messages_name_the_roles_limit() {
        let words = |reason: EndReason| reason.message_with_limits(43_200, 86_400);
        assert_eq!(
            words(EndReason::IdleTimeout),
            "You were signed out after 12 hours without activity."
        );
        assert_eq!(
            words(EndReason::LifetimeExceeded),
            "For your security you need to sign in again once a day."
        );
        assert_eq!(words(EndReason::SignedOut), "You have signed out.");
    }
}
