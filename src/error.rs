//! What can go wrong, as a person and a client are told. One closed enum for pages, server functions and the API.
//!
//! Use [`AppError`] for whatever leaves the server. A failure below (database, hashing, tokens) becomes
//! [`AppError::Unavailable`] or [`AppError::Internal`] at the place where it is logged with its ids; its own words
//! never reach a client.

use domain::{password::PasswordProblem, session::EndReason, time::format_duration};

/// A failure as it is shown. The names of the codes are public.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AppError {
    /// Email or password is wrong, or the account may not sign in: on purpose one answer for all of them.
    InvalidCredentials,
    /// The caller is not signed in, or no longer.
    SessionEnded { reason: EndReason },
    /// A refresh token that gives nothing (any more): unknown, used before, or of a session that is over.
    InvalidGrant,
    /// A refresh token that was exchanged before: its session was ended.
    RefreshTokenReused {
        /// Probably an answer was lost.
        answer_lost: bool,
    },
    /// Too many refused passwords for this account, address or device.
    TooManyAttempts { retry_after_seconds: u32 },
    /// Too much was asked for at the same time, or in a short time. Nothing was done, and nobody is to blame.
    RateLimited { retry_after_seconds: u32 },
    /// The browser sends no cookie of ours back: it could not stay signed in.
    CookiesRequired,
    /// More passwords are waiting to be checked than the server can check soon. Nothing was looked at.
    Busy,
    /// The last password check is too long ago for this: send the password along, or renew the check.
    ReauthRequired,
    /// The password is right, and a new one has to come along: an administrator asks for it.
    PasswordChangeRequired,
    /// The role there lets sessions last less long than this one has lasted.
    SignInTooOld,
    /// The new password is not fit to be one.
    UnsuitablePassword(PasswordProblem),
    /// The caller is signed in but may not do this.
    Forbidden,
    /// The portal was opened at another address than `address`, its public one.
    WrongAddress { address: String },
    /// The browser hid which page a request came from.
    OriginHidden,
    /// There is no such session, or none that the caller may know of.
    SessionNotFound,
    /// The same of something else.
    ResourceNotFound(Resource),
    /// The address is there, and takes no requests of that method.
    MethodNotAllowed,
    /// What was sent does not fit. `field` is its name, `problem` says what to change.
    InvalidInput { field: String, problem: String },
    /// Ending many sessions needs a scope that says which.
    InvalidScope,
    /// Something that the server rests on does not answer. Nothing was changed.
    Unavailable,
    /// The database stopped answering while a change was being stored: it may have been done.
    OutcomeUnknown,
    /// A mistake of ours. It is in the log under the request's id.
    Internal,
    /// The browser could not reach the server.
    Offline,
    /// Another tab renewed the session's cookie at the same moment, so that the server executed nothing.
    SessionRenewed,
}

/// What a 404 is about, beside sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    Address,
    User,
    Organization,
    /// A question whether something was the person's doing.
    Notice,
}

impl Resource {
    pub(crate) const ALL: [Self; 4] = [Self::Address, Self::User, Self::Organization, Self::Notice];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Resource::Address => "address",
            Resource::User => "person",
            Resource::Organization => "organization",
            Resource::Notice => "notice",
        }
    }

    fn message(self) -> &'static str {
        match self {
            Resource::Address => "There is nothing at this address. Check how it is spelled.",
            Resource::User => "That person is not there, or not yours to see. Nothing was changed.",
            Resource::Organization => "You do not belong to that organization. Nothing was changed.",
            Resource::Notice => "That question is not open any more. It may have been answered already.",
        }
    }
}

impl AppError {
    /// The stable name that clients branch on.
    pub fn code(&self) -> &'static str {
        match self {
            AppError::InvalidCredentials => "invalid_credentials",
            AppError::SessionEnded { .. } => "session_ended",
            AppError::InvalidGrant | AppError::RefreshTokenReused { .. } => "invalid_grant",
            // One code: a client does the same for both.
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
            AppError::SessionNotFound | AppError::ResourceNotFound(_) => "not_found",
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

    /// What a person reads. Never holds text that came from outside: without JavaScript an error travels in the
    /// address, which anyone can write.
    pub fn message(&self) -> String {
        let fixed = match self {
            AppError::InvalidCredentials => "Email or password is not right. Check both and try again.",
            AppError::SessionEnded { reason } => reason.message(),
            AppError::InvalidGrant => "This refresh token is no longer good. Sign in again.",
            AppError::RefreshTokenReused { answer_lost: true } => {
                "This device did not receive its new key in time, so its session was ended. Probably an answer was lost on \
                 the network. Sign in again."
            }
            AppError::RefreshTokenReused { answer_lost: false } => EndReason::TokenReuse.message(),
            AppError::TooManyAttempts { retry_after_seconds } => {
                // A day at the most: without JavaScript the figure comes from an address, which anyone can write.
                let wait = format_duration(i64::from((*retry_after_seconds).min(86_400).div_ceil(60) * 60));
                return format!("Too many passwords that were not right. Try again in {wait}.");
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
            AppError::Busy => "Many people are signing in right now. Try again in a few seconds.",
            AppError::ReauthRequired => "Enter your password to go on.",
            AppError::PasswordChangeRequired => {
                "Your administrator asks you to choose a new password. Enter it below your present one."
            }
            AppError::SignInTooOld => {
                "Your role there asks for a newer sign-in. Sign out, sign in again and switch then."
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
            AppError::SessionNotFound => "That session is not there any more. It may have ended already.",
            AppError::ResourceNotFound(resource) => resource.message(),
            AppError::MethodNotAllowed => {
                "This address takes no requests of that kind. Nothing was changed. Its methods are in the header `Allow`."
            }
            AppError::InvalidInput { .. } => "Something in the form does not fit. Check it and try again.",
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

    /// What was asked for may have been done all the same: no answer came, or none from the database.
    pub fn has_unknown_outcome(&self) -> bool {
        matches!(self, AppError::Offline | AppError::OutcomeUnknown)
    }

    /// The fault is not the caller's.
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

    /// Seconds after which trying again may help, where that is so.
    pub fn retry_after(&self) -> Option<u32> {
        match self {
            AppError::TooManyAttempts { retry_after_seconds }
            | AppError::RateLimited { retry_after_seconds } => Some(*retry_after_seconds),
            AppError::Busy => Some(2),
            AppError::Unavailable | AppError::OutcomeUnknown => Some(5),
            _ => None,
        }
    }

    /// Shorthand for [`AppError::InvalidInput`].
    pub fn invalid_input(field: &str, problem: impl Into<String>) -> Self {
        AppError::InvalidInput {
            field: field.to_owned(),
            problem: problem.into(),
        }
    }
}

/// The `problem` of `too_many_attempts` where no password was wrong. Public.
pub const RATE_LIMITED: &str = "rate_limited";

impl std::fmt::Display for AppError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message())
    }
}

impl std::error::Error for AppError {}
