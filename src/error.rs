//! The error type of pages, server functions and the API.
//!
//! Everything that leaves the server is an [`AppError`]. Internal errors (database, hashing, tokens) become
//! [`AppError::Unavailable`] or [`AppError::Internal`] where they are logged. Their text never reaches a client.

use domain::{password::PasswordProblem, session::EndReason, time::format_duration};

/// An error as clients see it. The codes are public.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AppError {
    /// Wrong email or password, or an account that may not sign in. One error for all of them, so that accounts cannot
    /// be probed.
    InvalidCredentials,
    /// The caller is not signed in, or no longer.
    SessionEnded { reason: EndReason },
    /// The refresh token is unknown, was used before, or its session has ended.
    InvalidGrant,
    /// The refresh token was used before. Its session was revoked.
    RefreshTokenReused {
        /// Probably a response was lost.
        answer_lost: bool,
    },
    /// Too many wrong passwords for this account, address or device.
    TooManyAttempts { retry_after_seconds: u32 },
    /// Too many requests at once or in a short time. Nothing was executed.
    RateLimited { retry_after_seconds: u32 },
    /// The browser does not return our cookie, so it could not stay signed in.
    CookiesRequired,
    /// The queue of password checks is full. The password was not checked.
    Busy,
    /// The last password check is too old for this action. Send the password, or reauthenticate first.
    ReauthRequired,
    /// The password is right, but an administrator requires a new one.
    PasswordChangeRequired,
    /// The session is older than the role in the other organization allows.
    SignInTooOld,
    /// The new password breaks a rule.
    UnsuitablePassword(PasswordProblem),
    /// The caller is signed in but lacks the permission.
    Forbidden,
    /// The portal was opened at another address than its public `address`.
    WrongAddress { address: String },
    /// The browser sent no origin.
    OriginHidden,
    /// The resource does not exist, or the caller may not see it.
    NotFound(Resource),
    /// The address exists, but not for this method.
    MethodNotAllowed,
    /// A field is invalid. `field` is its name, `problem` says what to change.
    InvalidInput { field: String, problem: String },
    /// A bulk revocation without a valid scope.
    InvalidScope,
    /// The database or another dependency does not respond. Nothing was changed.
    Unavailable,
    /// The database stopped responding during COMMIT: the change may have been stored.
    OutcomeUnknown,
    /// An error in the portal. The log has it under the request id.
    Internal,
    /// The browser could not reach the server.
    Offline,
    /// Another tab rotated the session cookie at the same time, so the server executed nothing.
    SessionRenewed,
}

/// The kind of resource that was not found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    Session,
    Address,
    User,
    Organization,
    /// A security notice.
    Notice,
}

impl Resource {
    pub(crate) const ALL: [Self; 5] = [
        Self::Session,
        Self::Address,
        Self::User,
        Self::Organization,
        Self::Notice,
    ];

    /// The name in the wire format. A session has none.
    pub(crate) fn as_str(self) -> Option<&'static str> {
        match self {
            Resource::Session => None,
            Resource::Address => Some("address"),
            Resource::User => Some("person"),
            Resource::Organization => Some("organization"),
            Resource::Notice => Some("notice"),
        }
    }

    fn message(self) -> &'static str {
        match self {
            Resource::Session => "That session no longer exists. It may have ended already.",
            Resource::Address => "This address does not exist. Check the spelling.",
            Resource::User => "That user does not exist, or you may not see them. Nothing was changed.",
            Resource::Organization => "You do not belong to that organization. Nothing was changed.",
            Resource::Notice => "That question is no longer open. It may have been answered already.",
        }
    }
}

impl AppError {
    /// The stable code for clients.
    pub fn code(&self) -> &'static str {
        match self {
            AppError::InvalidCredentials => "invalid_credentials",
            AppError::SessionEnded { .. } => "session_ended",
            AppError::InvalidGrant | AppError::RefreshTokenReused { .. } => "invalid_grant",
            // One code, because clients react to both in the same way.
            AppError::TooManyAttempts { .. } | AppError::RateLimited { .. } => "too_many_attempts",
            AppError::CookiesRequired => "cookies_required",
            AppError::Busy => "busy",
            AppError::ReauthRequired => "reauth_required",
            AppError::PasswordChangeRequired => "password_change_required",
            AppError::SignInTooOld => "sign_in_too_old",
            AppError::UnsuitablePassword(_) => "unsuitable_password",
            AppError::Forbidden => "forbidden",
            AppError::WrongAddress { .. } => "wrong_address",
            AppError::OriginHidden => "origin_hidden",
            AppError::NotFound(_) => "not_found",
            AppError::MethodNotAllowed => "method_not_allowed",
            AppError::InvalidInput { .. } => "invalid_input",
            AppError::InvalidScope => "invalid_scope",
            AppError::Unavailable => "unavailable",
            AppError::OutcomeUnknown => "outcome_unknown",
            AppError::Internal => "internal",
            AppError::Offline => "offline",
            AppError::SessionRenewed => "session_renewed",
        }
    }

    /// The message that the user reads. Contains no text from outside: without JavaScript an error travels in the URL,
    /// which anyone can write.
    pub fn message(&self) -> String {
        let fixed = match self {
            AppError::InvalidCredentials => "The email or password is wrong. Check both and try again.",
            AppError::SessionEnded { reason } => reason.message(),
            AppError::InvalidGrant => "This refresh token is no longer valid. Sign in again.",
            AppError::RefreshTokenReused { answer_lost: true } => {
                "The sign-in was renewed, but this device did not receive the response in time, so its session was ended. \
                 Sign in again."
            }
            AppError::RefreshTokenReused { answer_lost: false } => EndReason::TokenReuse.message(),
            AppError::TooManyAttempts { retry_after_seconds } => {
                // At most a day: without JavaScript the number comes from the URL, which anyone can write.
                let wait = format_duration(i64::from((*retry_after_seconds).min(86_400).div_ceil(60) * 60));
                return format!("Too many wrong passwords. Try again in {wait}.");
            }
            AppError::RateLimited { retry_after_seconds } => {
                let seconds = i64::from((*retry_after_seconds).clamp(1, 86_400));
                let wait = format_duration(if seconds < 60 {
                    seconds
                } else {
                    (seconds + 59) / 60 * 60
                });
                return format!(
                    "There were too many sign-ins or other requests at the same time. Nothing was changed. Try again in {wait}."
                );
            }
            AppError::CookiesRequired => {
                "Your browser sent no cookie of this site, and signing in needs cookies. Allow cookies for this site, then \
                 try again. Your password was not checked."
            }
            AppError::Busy => "Many users are signing in right now. Try again in a few seconds.",
            AppError::ReauthRequired => "Enter your password to continue.",
            AppError::PasswordChangeRequired => {
                "Your administrator asks you to choose a new password. Enter it below your current one."
            }
            AppError::SignInTooOld => {
                "Your role in that organization requires a more recent sign-in. Sign out, sign in again, then switch."
            }
            AppError::UnsuitablePassword(problem) => problem.message(),
            AppError::Forbidden => "You are not allowed to do this. Ask your administrator.",
            AppError::WrongAddress { address } => {
                return format!(
                    "This portal only works at {address}. Nothing was changed: open it there and try again. If that \
                     address is wrong, its administrator has to set PORTAL_PUBLIC_URL."
                );
            }
            AppError::OriginHidden => {
                "Your browser did not say which page this came from. Nothing was changed. Allow referrers for this \
                 site. If everybody sees this, the administrator has to remove Referrer-Policy: no-referrer from the \
                 proxy, or use https."
            }
            AppError::NotFound(resource) => resource.message(),
            AppError::MethodNotAllowed => {
                "This address does not support that request method. Nothing was changed. The header `Allow` lists the methods."
            }
            AppError::InvalidInput { .. } => "The form contains an invalid value. Check it and try again.",
            AppError::InvalidScope => "Say which sessions to end: current, others or all.",
            AppError::Unavailable => {
                "The portal cannot reach its database right now. Nothing was changed. Try again in a minute."
            }
            AppError::OutcomeUnknown => {
                "The database stopped answering while this was being saved. It may have been done. Reload the page to see \
                 the current state before you try again."
            }
            AppError::Internal => "Something went wrong on our side. Nothing was lost. Try again.",
            AppError::Offline => "The portal could not be reached. Check your connection and try again.",
            AppError::SessionRenewed => {
                "Your session was renewed in another tab at the same moment. Nothing was changed. Try again."
            }
        };
        fixed.to_owned()
    }

    /// Whether the action may have been executed, because the result is unknown.
    pub fn has_unknown_outcome(&self) -> bool {
        matches!(self, AppError::Offline | AppError::OutcomeUnknown)
    }

    /// Whether the server, not the caller, caused the error.
    pub fn is_server_error(&self) -> bool {
        matches!(
            self,
            AppError::Busy
                | AppError::Unavailable
                | AppError::OutcomeUnknown
                | AppError::Offline
                | AppError::Internal
        )
    }

    /// Seconds to wait before a retry. `None`: a retry will not help.
    pub fn retry_after(&self) -> Option<u32> {
        match self {
            AppError::TooManyAttempts { retry_after_seconds }
            | AppError::RateLimited { retry_after_seconds } => Some(*retry_after_seconds),
            AppError::Busy => Some(2),
            AppError::Unavailable | AppError::OutcomeUnknown => Some(5),
            _ => None,
        }
    }

    /// Creates an [`AppError::InvalidInput`].
    pub fn invalid_input(field: &str, problem: impl Into<String>) -> Self {
        AppError::InvalidInput {
            field: field.to_owned(),
            problem: problem.into(),
        }
    }
}

/// The `problem` of `too_many_attempts` if no password was wrong. Public.
pub const RATE_LIMITED: &str = "rate_limited";

impl std::fmt::Display for AppError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message())
    }
}

impl std::error::Error for AppError {}
