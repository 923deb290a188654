//! Responses.

use axum::{
    body::to_bytes,
    http::{HeaderMap, Response},
};
use serde_json::Value;

#[derive(Clone, Debug)]
pub struct TestResponse {
    /// The request and the place in the test that sent it, for failures.
    #[expect(dead_code, reason = "`Debug` shows it")]
    request: String,
    pub status: u16,
    pub headers: HeaderMap,
    pub body: String,
}

impl TestResponse {
    pub async fn read(request: impl Into<String>, response: Response<axum::body::Body>) -> Self {
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, usize::MAX).await.expect("a whole body");
        let body = String::from_utf8(bytes.to_vec()).expect("responses are UTF-8");
        Self {
            request: request.into(),
            status: parts.status.as_u16(),
            headers: parts.headers,
            body,
        }
    }

    /// Fails the test and shows the response if it has another status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:#?}");
        self
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .get(name)
            .map(|value| value.to_str().expect("a header of text"))
    }

    /// Returns every header of this name.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.headers
            .get_all(name)
            .iter()
            .map(|value| value.to_str().expect("a header of text"))
            .collect()
    }

    #[track_caller]
    pub fn location(&self) -> &str {
        self.header("location")
            .unwrap_or_else(|| panic!("no Location: {self:#?}"))
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("not JSON ({error}): {self:#?}"))
    }

    /// Returns the `code` of an API error, which must be problem+json.
    #[track_caller]
    pub fn problem(&self) -> String {
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json"),
            "{self:#?}"
        );
        let problem = self.json();
        assert_eq!(problem["status"], self.status, "{self:#?}");
        problem["code"]
            .as_str()
            .unwrap_or_else(|| panic!("no code: {self:#?}"))
            .to_owned()
    }

    /// Asserts a refusal by the API.
    #[track_caller]
    pub fn assert_problem(&self, status: u16, code: &str) {
        assert_eq!((self.status, &*self.problem()), (status, code), "{self:#?}");
    }

    /// Asserts a refusal by a server function.
    #[track_caller]
    pub fn assert_code(&self, status: u16, code: &str) {
        assert_eq!(self.status, status, "{self:#?}");
        assert_eq!(self.json()["code"], code, "{self:#?}");
    }

    /// Returns why the session has ended according to the API.
    #[track_caller]
    pub fn end_reason(&self) -> String {
        self.assert_problem(401, "session_ended");
        self.json()["reason"]
            .as_str()
            .unwrap_or_else(|| panic!("no reason: {self:#?}"))
            .to_owned()
    }

    /// Returns the response without parts that always differ: everything that a stranger can compare.
    pub fn comparable(&self) -> (u16, Vec<(String, String)>, String) {
        let mut headers: Vec<(String, String)> = self
            .headers
            .iter()
            .filter(|(name, _)| *name != "x-request-id")
            // It holds what the client itself has typed.
            .filter(|(_, value)| !value.as_bytes().starts_with(b"portal_typed_email="))
            .map(|(name, value)| {
                (
                    name.to_string(),
                    value.to_str().expect("a header of text").to_owned(),
                )
            })
            .collect();
        headers.sort();
        (self.status, headers, self.body.clone())
    }
}
