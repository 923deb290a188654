//! Clients of the portal: programs, browsers with and without JavaScript, desktop apps.

use std::{
    net::SocketAddr,
    panic::Location,
    pin::Pin,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Body,
    extract::ConnectInfo,
    http::{HeaderMap, HeaderName, HeaderValue, Method, Request, header},
};
use domain::query::encode_query_value;

use broker_portal::server::auth::token::PlainToken;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::{EventStream, Portal, SessionId, TestResponse, TestUser, cookie_jar::CookieJar, rendering};

/// A client. Cheap to clone; clones share cookies and tokens.
#[derive(Clone)]
pub struct Client {
    pub portal: Portal,
    router: Router,
    kind: Kind,
    peer: SocketAddr,
    user_agent: Option<String>,
    credentials: Arc<Mutex<Credentials>>,
}

#[derive(Clone, Debug, PartialEq)]
enum Kind {
    Program,
    Browser { script: bool },
    Desktop { device: Value },
}

/// Current credentials.
#[derive(Clone, Debug, Default)]
struct Credentials {
    jar: CookieJar,
    access_token: Option<String>,
    refresh_token: Option<String>,
    session: Option<SessionId>,
}

impl Client {
    pub fn program(portal: Portal, router: Router) -> Self {
        Self::new(portal, router, Kind::Program, None)
    }

    pub fn browser(portal: Portal, router: Router, user_agent: &str) -> Self {
        Self::new(
            portal,
            router,
            Kind::Browser { script: true },
            Some(user_agent.to_owned()),
        )
    }

    pub fn desktop(portal: Portal, router: Router, device_id: &str) -> Self {
        let device = json!({
            "device_id": device_id,
            "device_name": format!("The {device_id}"),
            "os": "macOS 15",
            "platform": "macos-arm64",
            "app_version": "3.2.1",
        });
        let user_agent = Some("BrokerPortalDesktop/3.2.1".to_owned());
        Self::new(portal, router, Kind::Desktop { device }, user_agent)
    }

    fn new(portal: Portal, router: Router, kind: Kind, user_agent: Option<String>) -> Self {
        let peer = SocketAddr::from(([198, 51, 100, 7], 50_000));
        Self {
            portal,
            router,
            kind,
            peer,
            user_agent,
            credentials: Arc::default(),
        }
    }

    /// Turns JavaScript off: forms are submitted as forms.
    #[must_use]
    pub fn without_script(mut self) -> Self {
        self.kind = Kind::Browser { script: false };
        self
    }

    /// Sets the client's address.
    #[must_use]
    pub fn at(mut self, address: &str) -> Self {
        self.peer.set_ip(address.parse().expect("an address"));
        self
    }

    /// Changes one field of the device.
    #[must_use]
    pub fn device(mut self, field: &str, value: &str) -> Self {
        let Kind::Desktop { device } = &mut self.kind else {
            panic!("only a desktop has a device")
        };
        device[field] = json!(value);
        self
    }

    /// Changes the User-Agent, as after an update or with a stolen cookie.
    #[must_use]
    pub fn with_user_agent(mut self, user_agent: &str) -> Self {
        self.user_agent = Some(user_agent.to_owned());
        self
    }

    /// Sends requests to another node.
    #[must_use]
    pub fn via(mut self, router: &Router) -> Self {
        self.router = router.clone();
        self
    }

    /// Returns a client with its own copy of the credentials, like a thief: changes of this client do not affect it.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        let credentials = Arc::new(Mutex::new(self.credentials().clone()));
        Self {
            credentials,
            ..self.clone()
        }
    }

    fn credentials(&self) -> std::sync::MutexGuard<'_, Credentials> {
        self.credentials
            .lock()
            .expect("no test panicked while it held this")
    }

    /// Returns the session of the last sign-in.
    #[track_caller]
    pub fn session(&self) -> SessionId {
        self.credentials().session.expect("signed in")
    }

    /// Returns the value of the session cookie.
    pub fn cookie(&self) -> Option<String> {
        self.credentials()
            .jar
            .get(self.portal.state.config.cookie_name())
            .map(str::to_owned)
    }

    /// Returns the value of the known-browser cookie.
    pub fn known_browser(&self) -> Option<String> {
        self.credentials().jar.get("portal_browser").map(str::to_owned)
    }

    pub fn set_cookie(&self, value: &str) {
        self.credentials()
            .jar
            .set(self.portal.state.config.cookie_name(), value);
    }

    #[track_caller]
    pub fn access_token(&self) -> String {
        self.credentials()
            .access_token
            .clone()
            .expect("a desktop that signed in")
    }

    pub fn set_access_token(&self, token: &str) {
        self.credentials().access_token = Some(token.to_owned());
    }

    #[track_caller]
    pub fn refresh_token(&self) -> String {
        self.credentials()
            .refresh_token
            .clone()
            .expect("a desktop that signed in")
    }

    /// Tries to sign in with an email and a password.
    pub async fn try_sign_in(&self, email: &str, password: &str) -> TestResponse {
        let response = match &self.kind {
            Kind::Program => panic!("a program without a device does not sign in"),
            Kind::Browser { .. } => {
                self.post("/api/sign_in")
                    .form(&[("email", email), ("password", password)])
                    .await
            }
            Kind::Desktop { device } => {
                let body = json!({ "email": email, "password": password, "device": device });
                self.post("/api/v1/sessions").json(&body).await
            }
        };
        if response.status == 201 {
            self.take_tokens(&response);
        }
        if response.status < 400 {
            self.load_session_id().await;
        }
        response
    }

    /// Tries to sign a user in.
    pub async fn sign_in(&self, person: &TestUser) -> TestResponse {
        self.try_sign_in(&person.email, &person.password).await
    }

    /// Enters a wrong password.
    pub async fn fail_to_sign_in(&self, email: &str) {
        self.try_sign_in(email, "not it").await.expect(401);
    }

    /// Signs in as a task of its own, for concurrent requests.
    pub fn spawn_sign_in(&self, person: &TestUser) -> impl Future<Output = TestResponse> + Send + 'static {
        let (client, person) = (self.clone(), person.clone());
        async move { client.sign_in(&person).await }
    }

    /// Stores the tokens of a response.
    pub fn take_tokens(&self, response: &TestResponse) {
        let tokens = response.json();
        let text = |field: &str| tokens[field].as_str().map(str::to_owned);
        let mut credentials = self.credentials();
        credentials.access_token = text("access_token");
        credentials.refresh_token = text("refresh_token").or(credentials.refresh_token.take());
    }

    /// Exchanges the refresh token of this desktop and stores the new tokens.
    pub async fn refresh(&self) -> TestResponse {
        let response = self.exchange(&self.refresh_token()).await;
        if response.status == 200 {
            self.take_tokens(&response);
        }
        response
    }

    /// Exchanges any refresh token and discards the new tokens.
    pub fn exchange(&self, token: &str) -> Call {
        self.post("/api/v1/sessions/refresh")
            .json(&json!({ "refresh_token": token }))
    }

    /// Returns whether the session is live. This is no activity.
    pub async fn is_live(&self) -> bool {
        let response = self.get("/api/v1/session_state").await;
        assert!([200, 401].contains(&response.status), "{response:#?}");
        response.status == 200
    }

    /// Returns why this client's session has ended.
    #[track_caller]
    pub fn end_reason(&self) -> impl Future<Output = String> {
        let asking = self.get("/api/v1/session_state");
        async { asking.await.end_reason() }
    }

    /// Returns the idle expiry that the portal reports.
    pub async fn idle_expiry(&self) -> Value {
        let state = self.get("/api/v1/session_state").await.expect(200).json();
        state["session"]["idle_expires_at"].clone()
    }

    /// Loads the id of the session of the current credential.
    pub async fn load_session_id(&self) {
        let credential = match &self.kind {
            Kind::Desktop { .. } => self.credentials().access_token.clone(),
            _ => self.cookie(),
        };
        if let Some(credential) = credential.and_then(|text| text.parse::<PlainToken>().ok()) {
            let session = self.portal.session_of(credential.hash().as_bytes()).await;
            self.credentials().session = session;
        }
    }

    /// Signs a user in and returns the client.
    pub async fn signed_in(self, person: &TestUser) -> Self {
        let response = self.sign_in(person).await;
        assert!(
            response.status < 400 && self.credentials().session.is_some(),
            "{response:#?}"
        );
        self
    }

    #[track_caller]
    pub fn get(&self, path: &str) -> Call {
        self.call(Method::GET, path)
    }

    #[track_caller]
    pub fn post(&self, path: &str) -> Call {
        self.call(Method::POST, path)
    }

    #[track_caller]
    pub fn delete(&self, path: &str) -> Call {
        self.call(Method::DELETE, path)
    }

    /// Gets a document of the API.
    #[track_caller]
    pub fn get_json(&self, path: &str) -> impl Future<Output = Value> + use<> {
        let call = self.get(path);
        async { call.await.expect(200).json() }
    }

    /// Posts nothing and returns the document of the response.
    #[track_caller]
    pub fn post_json(&self, path: &str) -> impl Future<Output = Value> + use<> {
        let call = self.post(path);
        async { call.await.expect(200).json() }
    }

    /// Gets the HTML of a page, or another text.
    #[track_caller]
    pub fn get_text(&self, path: &str) -> impl Future<Output = String> + use<> {
        let call = self.get(path);
        async { call.await.expect(200).body }
    }

    /// Calls a server function with these fields.
    #[track_caller]
    pub fn submit(&self, function: &str, fields: &[(&str, &str)]) -> Call {
        self.post(&format!("/api/{function}")).form(fields)
    }

    /// Signs this browser out.
    #[track_caller]
    pub fn sign_out(&self) -> impl Future<Output = TestResponse> + use<> {
        let call = self.post("/api/sign_out");
        async { call.await.expect(200) }
    }

    /// Revokes the user's `current`, `others` or `all` sessions through the API.
    #[track_caller]
    pub fn revoke_scope(&self, scope: &str) -> impl Future<Output = Value> + use<> {
        let call = self.delete(&format!("/api/v1/sessions?scope={scope}"));
        async { call.await.expect(200).json() }
    }

    /// Revokes one of the user's sessions through the API.
    #[track_caller]
    pub fn revoke(&self, session: SessionId) -> impl Future<Output = TestResponse> + use<> {
        let call = self.delete(&format!("/api/v1/sessions/{session}"));
        async { call.await.expect(204) }
    }

    /// Follows a redirect like a browser.
    pub async fn follow(&self, response: &TestResponse) -> TestResponse {
        assert!((300..400).contains(&response.status), "{response:#?}");
        self.get(response.location()).await
    }

    /// Prepares a request as this kind of client sends it.
    #[track_caller]
    pub fn call(&self, method: Method, path: &str) -> Call {
        let mut headers = HeaderMap::new();
        let mut add = |name: HeaderName, value: &str| {
            headers.insert(
                name,
                HeaderValue::from_bytes(value.as_bytes()).expect("a header's value"),
            );
        };
        if let Some(user_agent) = &self.user_agent {
            add(header::USER_AGENT, user_agent);
        }
        if let Kind::Browser { script } = self.kind {
            let origin = self.portal.state.config.public_url.origin();
            let is_page = !path.starts_with("/api/");
            let accept = if is_page || (!script && method == Method::POST) {
                "text/html,application/xhtml+xml,*/*;q=0.8"
            } else {
                "application/json"
            };
            add(header::ACCEPT, accept);
            add(
                HeaderName::from_static("sec-fetch-site"),
                if is_page { "none" } else { "same-origin" },
            );
            if method != Method::GET {
                add(header::ORIGIN, origin);
                add(header::REFERER, &format!("{origin}/dashboard/settings"));
            }
        }
        Call {
            client: self.clone(),
            method,
            path: path.to_owned(),
            headers,
            body: Vec::new(),
            sent_at: Location::caller(),
        }
    }
}

/// A prepared request. Await it to send it.
#[must_use]
pub struct Call {
    client: Client,
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Vec<u8>,
    sent_at: &'static Location<'static>,
}

impl Call {
    /// Returns the client that sends it.
    pub fn client(&self) -> &Client {
        &self.client
    }

    pub fn header(self, name: &'static str, value: &str) -> Self {
        self.bytes_header(name, value.as_bytes())
    }

    /// Adds a header that may not be text.
    pub fn bytes_header(mut self, name: &'static str, value: &[u8]) -> Self {
        let value = HeaderValue::from_bytes(value).expect("a header's value");
        self.headers.insert(HeaderName::from_static(name), value);
        self
    }

    /// Adds another header of the same name.
    pub fn added_header(mut self, name: &'static str, value: &[u8]) -> Self {
        let value = HeaderValue::from_bytes(value).expect("a header's value");
        self.headers.append(HeaderName::from_static(name), value);
        self
    }

    pub fn without_header(mut self, name: &'static str) -> Self {
        self.headers.remove(name);
        self
    }

    pub fn form(self, fields: &[(&str, &str)]) -> Self {
        let pairs: Vec<String> = fields
            .iter()
            .map(|(name, value)| format!("{name}={}", encode_query_value(value)))
            .collect();
        self.body("application/x-www-form-urlencoded", pairs.join("&"))
    }

    pub fn json(self, value: &Value) -> Self {
        self.body("application/json", value.to_string())
    }

    pub fn body(mut self, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self.header("content-type", content_type)
    }

    /// Opens an event stream.
    pub async fn stream(self) -> EventStream {
        let (client, request) = self.request();
        let response = client.router.clone().oneshot(request).await.expect("a response");
        assert_eq!(response.status(), 200, "{response:#?}");
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        EventStream::open(response.into_body()).await
    }

    /// Opens an event stream, or returns the status of the refusal.
    pub async fn try_stream(self) -> Result<EventStream, u16> {
        let (client, request) = self.request();
        let response = client.router.clone().oneshot(request).await.expect("a response");
        match response.status().as_u16() {
            200 => Ok(EventStream::open(response.into_body()).await),
            refused => Err(refused),
        }
    }

    /// Returns the body of a successful response, to be read as it arrives.
    pub async fn open(self) -> Body {
        let (client, request) = self.request();
        let response = client.router.clone().oneshot(request).await.expect("a response");
        assert_eq!(response.status(), 200, "{response:#?}");
        response.into_body()
    }

    fn request(self) -> (Client, Request<Body>) {
        let Self {
            client,
            method,
            path,
            mut headers,
            body,
            ..
        } = self;
        {
            let credentials = client.credentials();
            let text = |value: &str| HeaderValue::from_bytes(value.as_bytes()).expect("a header's value");
            if let Some(cookies) = credentials.jar.header() {
                headers.entry(header::COOKIE).or_insert(text(&cookies));
            }
            if let Some(token) = &credentials.access_token {
                headers
                    .entry(header::AUTHORIZATION)
                    .or_insert(text(&format!("Bearer {token}")));
            }
        }
        // Clients send the length of a body, and servers depend on it.
        if !body.is_empty() {
            headers.insert(header::CONTENT_LENGTH, body.len().into());
        }
        let mut request = Request::new(Body::from(body));
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().expect("an address");
        *request.headers_mut() = headers;
        request.extensions_mut().insert(ConnectInfo(client.peer));
        (client, request)
    }

    async fn send(self) -> TestResponse {
        let body = String::from_utf8_lossy(&self.body[..self.body.len().min(400)]);
        let description = format!("{} {} {body} at {}", self.method, self.path, self.sent_at);
        let (client, request) = self.request();
        let response = rendering::send(client.router.clone(), description, request).await;
        if matches!(client.kind, Kind::Browser { .. }) {
            let https = client.portal.state.config.public_url.is_https();
            let mut credentials = client.credentials();
            for cookie in response.all("set-cookie") {
                credentials.jar.take(cookie, https);
            }
        }
        response
    }
}

impl IntoFuture for Call {
    type Output = TestResponse;
    type IntoFuture = Pin<Box<dyn Future<Output = TestResponse> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}
