//! What can go wrong, as a person and a client are told. One closed enum for pages, server functions and the API.
//!
//! Use [`AppError`] for whatever leaves the server. A failure below (database, hashing, tokens) becomes
//! [`AppError::Unavailable`] or [`AppError::Internal`] at the place where it is logged with its ids; its own words
//! never reach a client.

use leptos::prelude::{FromServerFnError, ServerFnErrorErr};
use serde::{Deserialize, Serialize};

use crate::{domain::session::EndReason, server_fns::wire::TextJsonEncoding};

/// A failure as it is shown. The names of the codes are public.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Wire", into = "Wire")]
pub enum AppError {
    /// Email or password is wrong, or the account may not sign in: on purpose one answer for all of them.
    InvalidCredentials,
    /// The caller is not signed in, or no longer.
    SessionEnded { reason: EndReason },
    /// The caller is signed in but may not do this.
    Forbidden,
    /// There is no such thing, or none that the caller may know of.
    NotFound,
    /// What was sent does not fit. `field` is its name, `problem` says what to change.
    InvalidInput { field: String, problem: String },
    /// Ending many sessions needs a scope that says which.
    InvalidScope,
    /// Something that the server rests on does not answer. Nothing was changed.
    Unavailable,
    /// A mistake of ours. It is in the log under the request's id.
    Internal,
    /// The browser could not reach the server.
    Offline,
}

impl AppError {
    /// The stable name that clients branch on.
    pub fn code(&self) -> &'static str {
        match self {
            AppError::InvalidCredentials => "invalid_credentials",
            AppError::SessionEnded { .. } => "session_ended",
            AppError::Forbidden => "forbidden",
            AppError::NotFound => "not_found",
            AppError::InvalidInput { .. } => "invalid_input",
            AppError::InvalidScope => "invalid_scope",
            AppError::Unavailable => "unavailable",
            AppError::Internal => "internal",
            AppError::Offline => "offline",
        }
    }

    /// The HTTP status that goes with it.
    pub fn status(&self) -> u16 {
        match self {
            AppError::InvalidCredentials | AppError::SessionEnded { .. } => 401,
            AppError::Forbidden => 403,
            AppError::NotFound => 404,
            AppError::InvalidScope => 400,
            AppError::InvalidInput { .. } => 422,
            AppError::Unavailable | AppError::Offline => 503,
            AppError::Internal => 500,
        }
    }

    /// What a person reads. Never holds text that came from outside: without JavaScript an error travels in the
    /// address, which anyone can write.
    pub fn message(&self) -> &'static str {
        match self {
            AppError::InvalidCredentials => "Email or password is not right. Check both and try again.",
            AppError::SessionEnded { reason } => reason.message(),
            AppError::Forbidden => "You are not allowed to do this. Ask your administrator.",
            AppError::NotFound => "That session is not there any more. It may have ended already.",
            AppError::InvalidInput { .. } => "Something in the form does not fit. Check it and try again.",
            AppError::InvalidScope => "Say which sessions to end: current, others or all.",
            AppError::Unavailable => {
                "The portal cannot reach its database right now. Nothing was changed. Try again in a minute."
            }
            AppError::Internal => "Something went wrong on our side. Nothing was lost. Try again.",
            AppError::Offline => "The portal could not be reached. Check your connection and try again.",
        }
    }

    /// Shorthand for [`AppError::InvalidInput`].
    pub fn invalid(field: &str, problem: impl Into<String>) -> Self {
        AppError::InvalidInput {
            field: field.to_owned(),
            problem: problem.into(),
        }
    }
}

/// [`AppError`] as it travels: flat, with the code first. A code that this build does not know is an internal error.
#[derive(Serialize, Deserialize)]
struct Wire {
    code: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<EndReason>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

impl From<AppError> for Wire {
    fn from(error: AppError) -> Self {
        let mut wire = Wire {
            code: error.code().to_owned(),
            reason: None,
            field: None,
            problem: None,
        };
        match error {
            AppError::SessionEnded { reason } => wire.reason = Some(reason),
            AppError::InvalidInput { field, problem } => {
                (wire.field, wire.problem) = (Some(field), Some(problem))
            }
            _ => {}
        }
        wire
    }
}

impl From<Wire> for AppError {
    fn from(wire: Wire) -> Self {
        match wire.code.as_str() {
            "invalid_credentials" => AppError::InvalidCredentials,
            "session_ended" => AppError::SessionEnded {
                reason: wire.reason.unwrap_or(EndReason::Unknown),
            },
            "forbidden" => AppError::Forbidden,
            "not_found" => AppError::NotFound,
            "invalid_input" => AppError::InvalidInput {
                field: wire.field.unwrap_or_default(),
                problem: wire.problem.unwrap_or_default(),
            },
            "invalid_scope" => AppError::InvalidScope,
            "unavailable" => AppError::Unavailable,
            "offline" => AppError::Offline,
            _ => AppError::Internal,
        }
    }
}

impl std::fmt::Display for AppError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.message())
    }
}

impl std::error::Error for AppError {}

impl FromServerFnError for AppError {
    type Encoder = TextJsonEncoding;

    fn from_server_fn_error(error: ServerFnErrorErr) -> Self {
        match error {
            ServerFnErrorErr::Request(_) | ServerFnErrorErr::Response(_) => AppError::Offline,
            ServerFnErrorErr::Args(_) | ServerFnErrorErr::MissingArg(_) => {
                AppError::invalid("form", "A field is missing or is not of the right kind.")
            }
            ServerFnErrorErr::UnsupportedRequestMethod(_) => AppError::Forbidden,
            _ => AppError::Internal,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wire_form_names_the_code_and_survives_the_way() {
        let ended = AppError::SessionEnded {
            reason: EndReason::SignedOutEverywhere,
        };
        let json = serde_json::to_string(&ended).expect("JSON");
        assert_eq!(
            json,
            r#"{"code":"session_ended","reason":"signed_out_everywhere"}"#
        );
        for error in [
            ended,
            AppError::InvalidCredentials,
            AppError::Forbidden,
            AppError::NotFound,
            AppError::invalid("email", "Too long."),
            AppError::InvalidScope,
            AppError::Unavailable,
            AppError::Internal,
            AppError::Offline,
        ] {
            let json = serde_json::to_string(&error).expect("JSON");
            assert_eq!(serde_json::from_str::<AppError>(&json).expect("an error"), error);
        }
    }

    #[test]
    fn an_outage_is_never_a_401() {
        assert_eq!(AppError::Unavailable.status(), 503);
    }
}
