//! The client of all server functions. A request waits while the session monitor is unsure of the session, is executed
//! at most once, and always gets a result, even if it is "offline".

mod request;
mod response;

use std::{
    cell::{Cell, RefCell},
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};

use domain::ids::SessionId;
use futures_channel::oneshot;
use futures_util::{
    Sink, Stream,
    future::{Either, select},
};
use leptos::{
    prelude::{set_timeout, window},
    server_fn::{
        Bytes,
        client::{Client, browser::BrowserClient},
        error::FromServerFnError,
        request::ClientReq as _,
        response::ClientRes as _,
    },
    task::spawn_local,
    wasm_bindgen::{JsCast, JsValue},
    web_sys::{AbortSignal, Headers, RequestInit, Response},
};
use wasm_bindgen_futures::JsFuture;

use crate::error::AppError;
use request::ServerFnRequest;
use response::ServerFnResponse;

/// How long a request waits for the session monitor.
const SESSION_WAIT_LIMIT: Duration = Duration::from_secs(10);

/// How long a request waits for its response.
const RESPONSE_TIMEOUT_MS: u32 = 20_000;

/// How long a background request waits for user requests.
const IDLE_WAIT_LIMIT: Duration = Duration::from_secs(2);

/// Marks a background request, which is not activity.
const BACKGROUND: &str = "x-portal-background";

/// Marks the response to a request without a live session: nothing was executed.
const NOT_EXECUTED: &str = "x-portal-not-executed";

/// The result of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallOutcome {
    /// The server executed it and recorded the activity.
    Succeeded,
    /// There was no live session.
    Rejected,
    /// Not delivered, or the server failed.
    Failed,
}

/// The session monitor's interface to this client.
#[derive(Clone, Copy)]
pub struct SessionHooks {
    /// What a request must wait for before it is sent. `None`: nothing.
    pub wait_for_session: fn() -> Option<oneshot::Receiver<()>>,
    /// The session, if it is known to be live.
    pub live_session: fn() -> Option<SessionId>,
    /// Reports the result of a request.
    pub report: fn(CallOutcome),
}

thread_local! {
    static HOOKS: Cell<Option<SessionHooks>> = const { Cell::new(None) };
    static IN_BACKGROUND: Cell<bool> = const { Cell::new(false) };
    /// User requests without a response.
    static IN_FLIGHT: Cell<u32> = const { Cell::new(0) };
    static IDLE_WAITERS: RefCell<Vec<oneshot::Sender<()>>> = const { RefCell::new(Vec::new()) };
}

/// A user request in flight, until dropped.
struct InFlightCall;

impl InFlightCall {
    fn start() -> Self {
        IN_FLIGHT.set(IN_FLIGHT.get() + 1);
        Self
    }
}

impl Drop for InFlightCall {
    fn drop(&mut self) {
        IN_FLIGHT.set(IN_FLIGHT.get().saturating_sub(1));
        if IN_FLIGHT.get() == 0 {
            // Dropping the senders wakes the waiting requests.
            IDLE_WAITERS.take();
        }
    }
}

/// Waits, for a limited time, until no user request is in flight. Such a request may rotate the cookie, and a request
/// with the old cookie would be rejected.
pub async fn wait_until_idle() {
    if IN_FLIGHT.get() > 0 {
        let (quiet, is_quiet) = oneshot::channel();
        IDLE_WAITERS.with_borrow_mut(|waiting| waiting.push(quiet));
        _ = with_timeout(IDLE_WAIT_LIMIT, Box::pin(is_quiet)).await;
    }
}

/// Sets the hooks for all further requests. `None` removes them.
pub fn set_session_hooks(hooks: Option<SessionHooks>) {
    HOOKS.set(hooks);
}

/// Runs `work` with all its requests marked as background requests.
pub async fn run_in_background<T>(work: Pin<Box<dyn Future<Output = T> + Send>>) -> T {
    Background(work).await
}

struct Background<T>(Pin<Box<dyn Future<Output = T> + Send>>);

impl<T> Future for Background<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let before = IN_BACKGROUND.replace(true);
        let polled = self.0.as_mut().poll(context);
        IN_BACKGROUND.set(before);
        polled
    }
}

/// The client of all server functions.
pub struct SessionClient;

impl Client<AppError> for SessionClient {
    type Request = ServerFnRequest;
    type Response = ServerFnResponse;

    fn send(call: ServerFnRequest) -> impl Future<Output = Result<ServerFnResponse, AppError>> + Send {
        let is_background = IN_BACKGROUND.get();
        // Boxed, so that the compiler does not duplicate the code for each server function.
        let sent: Pin<Box<dyn Future<Output = _> + Send>> = Box::pin(send(ServerFnRequest {
            is_background,
            ..call
        }));
        sent
    }

    fn open_websocket(
        path: &str,
    ) -> impl Future<
        Output = Result<
            (
                impl Stream<Item = Result<Bytes, Bytes>> + Send + 'static,
                impl Sink<Bytes> + Send + 'static,
            ),
            AppError,
        >,
    > + Send {
        <BrowserClient as Client<AppError>>::open_websocket(path)
    }

    fn spawn(future: impl Future<Output = ()> + Send + 'static) {
        <BrowserClient as Client<AppError>>::spawn(future);
    }
}

/// Sends a form without a server function and returns the response body.
///
/// # Errors
/// The error of the server; [`AppError::Offline`] without a response.
pub async fn post(path: &str, form: String) -> Result<String, AppError> {
    const FORM: &str = "application/x-www-form-urlencoded";
    let call = ServerFnRequest::try_new_post(path, FORM, "application/json", form)?;
    send(call).await?.try_into_string().await
}

async fn send(call: ServerFnRequest) -> Result<ServerFnResponse, AppError> {
    with_timeout(SESSION_WAIT_LIMIT, Box::pin(wait_until_decided()))
        .await
        .ok_or(AppError::Offline)?;
    let session = live_session();
    let reply = send_once(&call).await?;
    if !reply.has_stale_credential() || call.is_background {
        return reply.read();
    }
    // Another tab may have rotated the cookie meanwhile. Reporting the rejection has started a check.
    _ = with_timeout(SESSION_WAIT_LIMIT, Box::pin(wait_until_decided())).await;
    let Some(now) = live_session() else {
        return if is_decided() {
            reply.read()
        } else {
            Err(AppError::SessionRenewed)
        };
    };
    // Never repeat the request in another session, perhaps of another user.
    if session != Some(now) {
        return Err(AppError::SessionRenewed);
    }
    let reply = send_once(&call).await?;
    if reply.has_stale_credential() {
        return Err(AppError::SessionRenewed);
    }
    reply.read()
}

async fn send_once(call: &ServerFnRequest) -> Result<RawResponse, AppError> {
    let _in_flight = if call.is_background {
        wait_until_idle().await;
        None
    } else {
        Some(InFlightCall::start())
    };
    let Some(reply) = exchange(call).await else {
        report(CallOutcome::Failed);
        return Err(AppError::Offline);
    };
    match reply.status {
        401 => report(CallOutcome::Rejected),
        500.. => report(CallOutcome::Failed),
        // A page of a proxy, perhaps with status 200. Responses of the portal never begin with `<`.
        _ if reply.body.trim_ascii_start().starts_with('<') => report(CallOutcome::Failed),
        200..300 if !call.is_background => report(CallOutcome::Succeeded),
        _ => {}
    }
    Ok(reply)
}

/// A response of the server.
struct RawResponse {
    status: u16,
    is_not_executed: bool,
    body: String,
}

impl RawResponse {
    /// Whether the server did not know the credential and executed nothing.
    fn has_stale_credential(&self) -> bool {
        self.is_not_executed
            && matches!(self.error(), Some(AppError::SessionEnded { reason }) if reason.can_be_stale())
    }

    fn error(&self) -> Option<AppError> {
        (self.status >= 400).then(|| AppError::de(Bytes::from(self.body.clone())))
    }

    fn read(self) -> Result<ServerFnResponse, AppError> {
        match self.error() {
            Some(error) => Err(error),
            None => Ok(ServerFnResponse(Bytes::from(self.body))),
        }
    }
}

/// Sends a request. `None`: no complete response in time.
async fn exchange(call: &ServerFnRequest) -> Option<RawResponse> {
    let (sender, received) = oneshot::channel();
    // The browser's futures must stay on their thread; the framework's are `Send`.
    let sent = fetch(call);
    spawn_local(async move {
        if let Ok(reply) = sent.await {
            _ = sender.send(reply);
        }
    });
    received.await.ok()
}

fn fetch(call: &ServerFnRequest) -> impl Future<Output = Result<RawResponse, JsValue>> + 'static {
    let request = || {
        let headers = Headers::new()?;
        headers.set("content-type", &call.content_type)?;
        headers.set("accept", &call.accepts)?;
        if call.is_background {
            headers.set(BACKGROUND, "1")?;
        }
        let options = RequestInit::new();
        options.set_method("POST");
        options.set_headers(&headers);
        options.set_body(&call.body.as_str().into());
        options.set_signal(Some(&AbortSignal::timeout_with_u32(RESPONSE_TIMEOUT_MS)));
        Ok::<_, JsValue>(JsFuture::from(
            window().fetch_with_str_and_init(&call.path, &options),
        ))
    };
    let sent = request();
    async move {
        let response: Response = sent?.await?.dyn_into()?;
        let text = JsFuture::from(response.text()?).await?;
        Ok(RawResponse {
            status: response.status(),
            is_not_executed: response.headers().has(NOT_EXECUTED)?,
            body: text.as_string().unwrap_or_default(),
        })
    }
}

fn live_session() -> Option<SessionId> {
    (HOOKS.get()?.live_session)()
}

/// Whether nothing has to be waited for.
fn is_decided() -> bool {
    HOOKS
        .get()
        .is_none_or(|hooks| (hooks.wait_for_session)().is_none())
}

fn report(outcome: CallOutcome) {
    if let Some(hooks) = HOOKS.get() {
        (hooks.report)(outcome);
    }
}

async fn wait_until_decided() {
    while let Some(decided) = HOOKS.get().and_then(|hooks| (hooks.wait_for_session)()) {
        // Resolved or dropped with the page: the loop checks again in both cases.
        _ = decided.await;
    }
}

/// Runs `work` with a time limit. `None`: timed out.
async fn with_timeout<T>(limit: Duration, work: Pin<Box<dyn Future<Output = T> + Send>>) -> Option<T> {
    let (is_over, over) = oneshot::channel();
    set_timeout(move || _ = is_over.send(()), limit);
    let late = pin!(over);
    match select(work, late).await {
        Either::Left((done, _)) => Some(done),
        Either::Right(_) => None,
    }
}
