//! How pages call server functions: a call waits while the tab is unsure of its session, is executed at most once, and has
//! an answer in the end, if only "not reached".

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
    future::{Either, ready, select},
    stream::once,
};
use http::Method;
use leptos::{
    prelude::{set_timeout, window},
    server_fn::{
        Bytes,
        client::{Client, browser::BrowserClient},
        error::FromServerFnError,
        request::ClientReq,
        response::ClientRes,
    },
    task::spawn_local,
    wasm_bindgen::{JsCast, JsValue},
    web_sys::{AbortSignal, Headers, RequestInit, Response},
};
use wasm_bindgen_futures::JsFuture;

use crate::error::AppError;

/// How long a call waits for the tab to know how its session stands.
const WAITS: Duration = Duration::from_secs(10);

/// Milliseconds that a call waits for its answer.
const PATIENCE: u32 = 20_000;

/// How long what the page does by itself waits for what the person does.
const QUIET_WITHIN: Duration = Duration::from_secs(2);

/// Marks what the page does by itself: not activity.
const BACKGROUND: &str = "x-portal-background";

/// Marks answers to requests without a live session: nothing was executed.
const NOT_EXECUTED: &str = "x-portal-not-executed";

/// What became of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The server did it, and noted that the person is there.
    Acted,
    /// There was no live session.
    Refused,
    /// It was not delivered, or the server had no answer.
    Failed,
}

/// Whoever knows how the session of this tab stands.
#[derive(Clone, Copy)]
pub struct Watch {
    /// What a call has to wait for before it goes out. `None`: nothing.
    pub wait: fn() -> Option<oneshot::Receiver<()>>,
    /// The session, where the server has said that it is live.
    pub live_session: fn() -> Option<SessionId>,
    /// Hears what became of it.
    pub note: fn(Outcome),
}

thread_local! {
    static WATCH: Cell<Option<Watch>> = const { Cell::new(None) };
    static IN_BACKGROUND: Cell<bool> = const { Cell::new(false) };
    /// Calls of the person's that are on their way.
    static UNDER_WAY: Cell<u32> = const { Cell::new(0) };
    static WAITING_FOR_QUIET: RefCell<Vec<oneshot::Sender<()>>> = const { RefCell::new(Vec::new()) };
}

/// A call of the person's, on its way for as long as this is there.
struct UnderWay;

impl UnderWay {
    fn begins() -> Self {
        UNDER_WAY.set(UNDER_WAY.get() + 1);
        Self
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        UNDER_WAY.set(UNDER_WAY.get().saturating_sub(1));
        if UNDER_WAY.get() == 0 {
            // Whoever waited is woken by the end of the channel.
            WAITING_FOR_QUIET.take();
        }
    }
}

/// Waits a little until no call of the person's is on its way: such a call may change the cookie, and whatever went out
/// with the old one would be refused.
pub async fn until_quiet() {
    if UNDER_WAY.get() > 0 {
        let (quiet, is_quiet) = oneshot::channel();
        WAITING_FOR_QUIET.with_borrow_mut(|waiting| waiting.push(quiet));
        _ = within(QUIET_WITHIN, Box::pin(is_quiet)).await;
    }
}

/// Has every call from now on pass by `watch`; `None`: by nobody.
pub fn be_watched(watch: Option<Watch>) {
    WATCH.set(watch);
}

/// Does `work` with every call in it marked as the page's own doing.
pub async fn in_background<T>(work: Pin<Box<dyn Future<Output = T> + Send>>) -> T {
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

/// A call as it is sent. Kept as text: it may have to be sent a second time.
pub struct Call {
    path: String,
    content_type: String,
    accepts: String,
    body: String,
    is_background: bool,
}

/// Server functions of the portal are forms. Anything else is a mistake in their definition.
impl ClientReq<AppError> for Call {
    type FormData = ();

    fn try_new_req_text(
        path: &str,
        content_type: &str,
        accepts: &str,
        body: String,
        _: Method,
    ) -> Result<Self, AppError> {
        Ok(Self {
            path: path.to_owned(),
            content_type: content_type.to_owned(),
            accepts: accepts.to_owned(),
            body,
            is_background: false,
        })
    }

    fn try_new_req_query(_: &str, _: &str, _: &str, _: &str, _: Method) -> Result<Self, AppError> {
        Err(AppError::Internal)
    }

    fn try_new_req_bytes(_: &str, _: &str, _: &str, _: Bytes, _: Method) -> Result<Self, AppError> {
        Err(AppError::Internal)
    }

    fn try_new_req_form_data(_: &str, _: &str, _: &str, (): (), _: Method) -> Result<Self, AppError> {
        Err(AppError::Internal)
    }

    fn try_new_req_multipart(_: &str, _: &str, (): (), _: Method) -> Result<Self, AppError> {
        Err(AppError::Internal)
    }

    fn try_new_req_streaming(
        _: &str,
        _: &str,
        _: &str,
        _: impl Stream<Item = Bytes> + Send + 'static,
        _: Method,
    ) -> Result<Self, AppError> {
        Err(AppError::Internal)
    }
}

/// The client of every server function.
pub struct KeptClient;

impl Client<AppError> for KeptClient {
    type Request = Call;
    type Response = Answer;

    fn send(call: Call) -> impl Future<Output = Result<Answer, AppError>> + Send {
        let is_background = IN_BACKGROUND.get();
        // Boxed, so that the code of each server function has no copy of it.
        let sent: Pin<Box<dyn Future<Output = _> + Send>> = Box::pin(send(Call {
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

/// Sends a form outside of a server function's own stub, and gives the answer's text.
///
/// # Errors
/// What the server answers; [`AppError::Offline`] without an answer.
pub async fn post(path: &str, form: String) -> Result<String, AppError> {
    const FORM: &str = "application/x-www-form-urlencoded";
    let call = Call::try_new_post(path, FORM, "application/json", form)?;
    send(call).await?.try_into_string().await
}

/// What a good answer says. Errors have been read before, and the server redirects plain forms only: the code of each
/// server function, which the framework compiles anew for each, has nothing to look for.
pub struct Answer(Bytes);

impl ClientRes<AppError> for Answer {
    fn try_into_string(self) -> impl Future<Output = Result<String, AppError>> + Send {
        ready(String::from_utf8(self.0.to_vec()).map_err(|_| AppError::Internal))
    }

    fn try_into_bytes(self) -> impl Future<Output = Result<Bytes, AppError>> + Send {
        ready(Ok(self.0))
    }

    fn try_into_stream(
        self,
    ) -> Result<impl Stream<Item = Result<Bytes, Bytes>> + Send + Sync + 'static, AppError> {
        Ok(once(ready(Ok(self.0))))
    }

    fn status(&self) -> u16 {
        200
    }

    fn status_text(&self) -> String {
        String::new()
    }

    fn location(&self) -> String {
        String::new()
    }

    fn has_redirect(&self) -> bool {
        false
    }
}

async fn send(call: Call) -> Result<Answer, AppError> {
    within(WAITS, Box::pin(until_decided()))
        .await
        .ok_or(AppError::Offline)?;
    let session = live_session();
    let reply = send_once(&call).await?;
    if !reply.has_stale_credential() || call.is_background {
        return reply.read();
    }
    // Another tab may have renewed the cookie while the call was on its way. The server was asked by noting the refusal.
    _ = within(WAITS, Box::pin(until_decided())).await;
    let Some(now) = live_session() else {
        return if is_decided() {
            reply.read()
        } else {
            Err(AppError::SessionRenewed)
        };
    };
    // In another session, perhaps of another user, it is not what was asked for.
    if session != Some(now) {
        return Err(AppError::SessionRenewed);
    }
    let reply = send_once(&call).await?;
    if reply.has_stale_credential() {
        return Err(AppError::SessionRenewed);
    }
    reply.read()
}

async fn send_once(call: &Call) -> Result<Reply, AppError> {
    let _under_way = if call.is_background {
        until_quiet().await;
        None
    } else {
        Some(UnderWay::begins())
    };
    let Some(reply) = exchange(call).await else {
        note(Outcome::Failed);
        return Err(AppError::Offline);
    };
    match reply.status {
        401 => note(Outcome::Refused),
        500.. => note(Outcome::Failed),
        // A page of a proxy, which may come with 200: none of ours begins like that.
        _ if reply.body.trim_ascii_start().starts_with('<') => note(Outcome::Failed),
        200..300 if !call.is_background => note(Outcome::Acted),
        _ => {}
    }
    Ok(reply)
}

/// What came back for a call.
struct Reply {
    status: u16,
    is_not_executed: bool,
    body: String,
}

impl Reply {
    /// The server did not know the credential, and executed nothing.
    fn has_stale_credential(&self) -> bool {
        self.is_not_executed
            && matches!(self.error(), Some(AppError::SessionEnded { reason }) if reason.may_be_outdated())
    }

    fn error(&self) -> Option<AppError> {
        (self.status >= 400).then(|| AppError::de(Bytes::from(self.body.clone())))
    }

    fn read(self) -> Result<Answer, AppError> {
        match self.error() {
            Some(error) => Err(error),
            None => Ok(Answer(Bytes::from(self.body))),
        }
    }
}

/// Sends a call and waits for its answer. `None`: there was none in time, or half of one.
async fn exchange(call: &Call) -> Option<Reply> {
    let (answers, answered) = oneshot::channel();
    // The browser's own futures stay on their thread, while those of the framework may move.
    let sent = fetch(call);
    spawn_local(async move {
        if let Ok(reply) = sent.await {
            _ = answers.send(reply);
        }
    });
    answered.await.ok()
}

fn fetch(call: &Call) -> impl Future<Output = Result<Reply, JsValue>> + 'static {
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
        options.set_signal(Some(&AbortSignal::timeout_with_u32(PATIENCE)));
        Ok::<_, JsValue>(JsFuture::from(
            window().fetch_with_str_and_init(&call.path, &options),
        ))
    };
    let sent = request();
    async move {
        let response: Response = sent?.await?.dyn_into()?;
        let text = JsFuture::from(response.text()?).await?;
        Ok(Reply {
            status: response.status(),
            is_not_executed: response.headers().has(NOT_EXECUTED)?,
            body: text.as_string().unwrap_or_default(),
        })
    }
}

fn live_session() -> Option<SessionId> {
    (WATCH.get()?.live_session)()
}

/// Nothing has to be waited for.
fn is_decided() -> bool {
    WATCH.get().is_none_or(|watch| (watch.wait)().is_none())
}

fn note(outcome: Outcome) {
    if let Some(watch) = WATCH.get() {
        (watch.note)(outcome);
    }
}

async fn until_decided() {
    while let Some(decided) = WATCH.get().and_then(|watch| (watch.wait)()) {
        // Decided or dropped with the page: it is looked at again either way.
        _ = decided.await;
    }
}

/// `None`: it took too long, and was given up.
async fn within<T>(patience: Duration, work: Pin<Box<dyn Future<Output = T> + Send>>) -> Option<T> {
    let (is_over, over) = oneshot::channel();
    set_timeout(move || _ = is_over.send(()), patience);
    let late = pin!(over);
    match select(work, late).await {
        Either::Left((done, _)) => Some(done),
        Either::Right(_) => None,
    }
}
