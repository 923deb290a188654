//! Server functions accept forms, which pages send. Programs may send the same fields as a flat JSON object.

use axum::{
    body::{Body, to_bytes},
    extract::Request,
    http::{HeaderValue, header},
    middleware::Next,
    response::Response,
};
use serde_json::{Map, Value};

use super::{error_response::ErrorFormat, request_body::MAX_BODY};
use domain::query::encode_query;

use crate::error::AppError;

/// Converts a JSON body into a form.
pub async fn convert_json(request: Request, next: Next) -> Response {
    let is_json = request
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| {
            value
                .split(';')
                .next()
                .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
        });
    if !is_json {
        return next.run(request).await;
    }
    let failure = ErrorFormat::of(&request);
    let (mut parts, body) = request.into_parts();
    let form = match to_bytes(body, MAX_BODY).await {
        Ok(bytes) => to_form(&bytes),
        Err(_) => None,
    };
    match form {
        Some(form) => {
            parts.headers.insert(
                header::CONTENT_TYPE,
                HeaderValue::from_static("application/x-www-form-urlencoded"),
            );
            parts.headers.remove(header::CONTENT_LENGTH);
            next.run(Request::from_parts(parts, Body::from(form))).await
        }
        None => failure.respond(&AppError::invalid_input(
            "body",
            "Send a JSON object with strings, numbers and booleans.",
        )),
    }
}

fn to_form(json: &[u8]) -> Option<String> {
    if json.is_empty() {
        return Some(String::new());
    }
    let fields: Map<String, Value> = serde_json::from_slice(json).ok()?;
    let pairs: Option<Vec<(&str, String)>> = fields
        .iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| {
            let text = match value {
                Value::String(text) => text.clone(),
                Value::Number(number) => number.to_string(),
                Value::Bool(on) => on.to_string(),
                _ => return None,
            };
            Some((name.as_str(), text))
        })
        .collect();
    pairs.map(encode_query)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_flat_objects_become_forms() {
        assert_eq!(
            to_form(br#"{"id":"a&b=c","n":1,"x":null}"#).as_deref(),
            Some("id=a%26b%3Dc&n=1")
        );
        assert_eq!(to_form(br#"{"a&b=c":"1"}"#).as_deref(), Some("a%26b%3Dc=1"));
        assert_eq!(to_form(b"").as_deref(), Some(""));
        for wrong in [&b"[1]"[..], b"{\"a\":{}}", b"nonsense", b"\xff"] {
            assert_eq!(to_form(wrong), None);
        }
    }
}
