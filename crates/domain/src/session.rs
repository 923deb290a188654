//! Sessions and the reasons why they end.

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
    /// Returns the device name with its kind: "Chrome on Windows (this browser)", "Maria's MacBook, desktop app".
    pub fn descriptive_name(&self) -> String {
        match (self.is_current, self.kind) {
            (true, ClientKind::Browser) => format!("{} (this browser)", self.device_name),
            (true, ClientKind::Desktop) => format!("{} (this device)", self.device_name),
            (false, ClientKind::Browser) => self.device_name.clone(),
            (false, ClientKind::Desktop) => format!("{}, desktop app", self.device_name),
        }
    }
}

/// The live sessions of a user to revoke.
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
    /// The reason why a session ended. The names are public: the API, URLs and the database contain them.
    #[cfg_attr(feature = "server", derive(utoipa::ToSchema), schema(rename_all = "snake_case"))]
    pub enum EndReason {
        SignedOut = "signed_out", "Signed out";
        /// The user signed out all devices.
        SignedOutEverywhere = "signed_out_everywhere", "Signed out everywhere";
        /// The user revoked the session from another device.
        Revoked = "revoked", "Ended from another device";
        /// An administrator or operator revoked it.
        RevokedByAdmin = "revoked_by_admin", "Ended by an administrator";
        PasswordChanged = "password_changed", "Password changed";
        /// A newer session of the user replaced it.
        SessionLimit = "session_limit", "Too many sessions";
        IdleTimeout = "idle_timeout", "No activity";
        LifetimeExceeded = "lifetime_exceeded", "Lifetime over";
        AccountDisabled = "account_disabled", "Account disabled";
        TokenReuse = "token_reuse", "Refresh token reused";
        ClientChanged = "client_changed", "Used in another browser";
        /// The cookie was rotated, but the browser did not receive the new one. Only this browser gets this reason; the
        /// session is live.
        RenewalLost = "renewal_lost", "New cookie not received";
        /// The session is not known, or the request had no credential.
        Unknown = "unknown", "Unknown";
    }
}

impl EndReason {
    /// Returns whether a session can be stored with this reason. The others only explain a refused request.
    pub fn is_recorded(self) -> bool {
        !matches!(self, EndReason::Unknown | EndReason::RenewalLost)
    }

    /// Returns whether another check may find the session live: the request may have used a cookie that was just
    /// rotated.
    pub fn can_be_stale(self) -> bool {
        !self.is_recorded()
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
                "You were signed out because there was no activity. Please sign in again."
            }
            EndReason::LifetimeExceeded => {
                "For your security you need to sign in again from time to time, even while you are active."
            }
            EndReason::AccountDisabled => "This account cannot sign in. Contact your administrator.",
            EndReason::TokenReuse => {
                "This session was ended because its refresh token was used twice. Usually a response was lost on the network. \
                 If you see a sign-in that was not you, change your password."
            }
            EndReason::ClientChanged => {
                "We saw this session used from somewhere it was not started, and ended it. If that was not you, \
                 change your password."
            }
            EndReason::RenewalLost => {
                "Your sign-in was renewed, but this browser did not receive the response. Please sign in again."
            }
            EndReason::Unknown => "Please sign in again.",
        }
    }

    /// Returns the message; for idle timeout and lifetime with the limits that applied to the session, in seconds.
    pub fn message_with_limits(self, idle_seconds: i64, lifetime_seconds: i64) -> String {
        match self {
            EndReason::IdleTimeout => {
                format!(
                    "You were signed out after {} without activity.",
                    time::format_duration(idle_seconds)
                )
            }
            EndReason::LifetimeExceeded => {
                let interval = match lifetime_seconds {
                    86_400 => "once a day".to_owned(),
                    604_800 => "once a week".to_owned(),
                    seconds => format!("every {}", time::format_duration(seconds)),
                };
                format!("For your security you need to sign in again {interval}.")
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
    fn expiry_messages_name_the_limits() {
        let message = |reason: EndReason| reason.message_with_limits(43_200, 86_400);
        assert_eq!(
            message(EndReason::IdleTimeout),
            "You were signed out after 12 hours without activity."
        );
        assert_eq!(
            message(EndReason::LifetimeExceeded),
            "For your security you need to sign in again once a day."
        );
        assert_eq!(message(EndReason::SignedOut), "You have signed out.");
    }
}
