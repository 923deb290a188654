//! The JSON encoding of [`AppError`] for server functions.

use domain::{password::PasswordProblem, session::EndReason};
use leptos::{
    prelude::{FromServerFnError, ServerFnErrorErr},
    server_fn::error::ServerFnUrlError,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::TextJsonEncoding;
use crate::error::{AppError, RATE_LIMITED, Resource};

/// The JSON format of [`AppError`]: flat, with the code first. An unknown code becomes [`AppError::Internal`].
#[derive(Serialize, Deserialize)]
struct WireError {
    code: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<EndReason>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retry_after_seconds: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    /// The kind of resource, with `not_found`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    what: Option<String>,
}

impl From<AppError> for WireError {
    fn from(error: AppError) -> Self {
        let mut wire = WireError {
            code: error.code().to_owned(),
            reason: None,
            field: None,
            problem: None,
            retry_after_seconds: None,
            address: None,
            what: None,
        };
        match error {
            AppError::NotFound(resource) => wire.what = resource.as_str().map(str::to_owned),
            AppError::SessionEnded { reason } => wire.reason = Some(reason),
            AppError::TooManyAttempts { retry_after_seconds } => {
                wire.retry_after_seconds = Some(retry_after_seconds);
            }
            AppError::WrongAddress { address } => wire.address = Some(address),
            AppError::RateLimited { retry_after_seconds } => {
                wire.retry_after_seconds = Some(retry_after_seconds);
                wire.problem = Some(RATE_LIMITED.to_owned());
            }
            AppError::UnsuitablePassword(problem) => wire.problem = Some(problem.as_str().to_owned()),
            AppError::InvalidInput { field, problem } => {
                (wire.field, wire.problem) = (Some(field), Some(problem))
            }
            _ => {}
        }
        wire
    }
}

impl From<WireError> for AppError {
    fn from(wire: WireError) -> Self {
        match wire.code.as_str() {
            "invalid_credentials" => AppError::InvalidCredentials,
            "session_ended" => AppError::SessionEnded {
                reason: wire.reason.unwrap_or(EndReason::Unknown),
            },
            "invalid_grant" => AppError::InvalidGrant,
            "too_many_attempts" if wire.problem.as_deref() == Some(RATE_LIMITED) => AppError::RateLimited {
                retry_after_seconds: wire.retry_after_seconds.unwrap_or(60),
            },
            "cookies_required" => AppError::CookiesRequired,
            "too_many_attempts" => AppError::TooManyAttempts {
                retry_after_seconds: wire.retry_after_seconds.unwrap_or(60),
            },
            "busy" => AppError::Busy,
            "reauth_required" => AppError::ReauthRequired,
            "password_change_required" => AppError::PasswordChangeRequired,
            "sign_in_too_old" => AppError::SignInTooOld,
            "unsuitable_password" => AppError::UnsuitablePassword(PasswordProblem::from_name(
                wire.problem.as_deref().unwrap_or_default(),
            )),
            "forbidden" => AppError::Forbidden,
            "wrong_address" => AppError::WrongAddress {
                address: wire.address.unwrap_or_default(),
            },
            "origin_hidden" => AppError::OriginHidden,
            "not_found" => {
                let what = wire.what.as_deref();
                let resource = Resource::ALL
                    .into_iter()
                    .find(|resource| what == resource.as_str());
                AppError::NotFound(resource.unwrap_or(Resource::Session))
            }
            "method_not_allowed" => AppError::MethodNotAllowed,
            "invalid_input" => AppError::InvalidInput {
                field: wire.field.unwrap_or_default(),
                problem: wire.problem.unwrap_or_default(),
            },
            "invalid_scope" => AppError::InvalidScope,
            "unavailable" => AppError::Unavailable,
            "outcome_unknown" => AppError::OutcomeUnknown,
            "offline" => AppError::Offline,
            "session_renewed" => AppError::SessionRenewed,
            _ => AppError::Internal,
        }
    }
}

impl Serialize for AppError {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        WireError::from(self.clone()).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for AppError {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        WireError::deserialize(deserializer).map(Self::from)
    }
}

impl FromServerFnError for AppError {
    type Encoder = TextJsonEncoding;

    fn from_server_fn_error(error: ServerFnErrorErr) -> Self {
        match error {
            ServerFnErrorErr::Request(_) | ServerFnErrorErr::Response(_) => AppError::Offline,
            ServerFnErrorErr::Args(_) | ServerFnErrorErr::MissingArg(_) => {
                AppError::invalid_input("form", "A field is missing or has the wrong type.")
            }
            ServerFnErrorErr::UnsupportedRequestMethod(_) => AppError::MethodNotAllowed,
            _ => AppError::Internal,
        }
    }
}

/// The error of a form without JavaScript, from the page's URL. Anyone can write one, so an address in it is
/// ignored.
pub fn error_from_query(encoded: &str) -> AppError {
    match ServerFnUrlError::decode_err(encoded) {
        AppError::WrongAddress { .. } => AppError::Forbidden,
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wire_format_names_the_code_and_round_trips() {
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
            AppError::InvalidGrant,
            AppError::TooManyAttempts {
                retry_after_seconds: 90,
            },
            AppError::RateLimited {
                retry_after_seconds: 2,
            },
            AppError::CookiesRequired,
            AppError::Busy,
            AppError::ReauthRequired,
            AppError::PasswordChangeRequired,
            AppError::SignInTooOld,
            AppError::UnsuitablePassword(PasswordProblem::TooCommon),
            AppError::Forbidden,
            AppError::WrongAddress {
                address: "https://portal.example".to_owned(),
            },
            AppError::OriginHidden,
            AppError::NotFound(Resource::Session),
            AppError::NotFound(Resource::Address),
            AppError::NotFound(Resource::Notice),
            AppError::MethodNotAllowed,
            AppError::invalid_input("email", "Too long."),
            AppError::InvalidScope,
            AppError::Unavailable,
            AppError::OutcomeUnknown,
            AppError::Internal,
            AppError::Offline,
            AppError::SessionRenewed,
        ] {
            let json = serde_json::to_string(&error).expect("JSON");
            assert_eq!(serde_json::from_str::<AppError>(&json).expect("an error"), error);
        }
    }

    #[test]
    fn error_ignores_an_address_from_the_query() {
        let forged =
            data_encoding::BASE64URL.encode(br#"{"code":"wrong_address","address":"https://evil.example"}"#);
        assert_eq!(error_from_query(&forged), AppError::Forbidden);
        let honest = data_encoding::BASE64URL.encode(br#"{"code":"busy"}"#);
        assert_eq!(error_from_query(&honest), AppError::Busy);
    }
}
