//! How pages call server functions: a call waits while the tab is unsure of its session, goes out once, and has an answer
//! in the end, if only "not reached".

use std::{
    cell::{Cell, RefCell},
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{
    Sink, Stream,
    future::{Either, ready, select},
    stream::once,
};
use leptos::server_fn::{
    Bytes,
    client::{Client, browser::BrowserClient},
    error::FromServerFnError,
    request::{ClientReq, browser::BrowserRequest},
    response::ClientRes,
};

use futures_channel::oneshot;
use leptos::prelude::set_timeout;

use crate::error::AppError;

/// How long a call waits for the tab to know how its session stands.
const WAITS: Duration = Duration::from_secs(10);

/// How long a call waits for its answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long what the page does by itself waits for what the person does.
const QUIET_WITHIN: Duration = Duration::from_secs(2);

/// Marks what the page does by itself: not activity.
const BACKGROUND: &str = "x-portal-background";

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

/// The client of every server function.
pub struct KeptClient;

impl Client<AppError> for KeptClient {
    type Request = BrowserRequest;
    type Response = Answer;

    fn send(request: BrowserRequest) -> impl Future<Output = Result<Answer, AppError>> + Send {
        let is_background = IN_BACKGROUND.get();
        if is_background {
            request.headers().set(BACKGROUND, "1");
        }
        // Boxed, so that the code of each server function has no copy of it.
        let sent: Pin<Box<dyn Future<Output = _> + Send>> = Box::pin(send(request, is_background));
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
    let request =
        <BrowserRequest as ClientReq<AppError>>::try_new_post(path, FORM, "application/json", form)?;
    send(request, false).await?.try_into_string().await
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

async fn send(request: BrowserRequest, is_background: bool) -> Result<Answer, AppError> {
    within(WAITS, Box::pin(until_decided()))
        .await
        .ok_or(AppError::Offline)?;
    let _under_way = if is_background {
        until_quiet().await;
        None
    } else {
        Some(UnderWay::begins())
    };
    let answer = within(PATIENCE, Box::pin(exchange(request))).await;
    // Half an answer is none.
    let Some(Ok((status, bytes))) = answer else {
        note(Outcome::Failed);
        return Err(AppError::Offline);
    };
    match status {
        401 => note(Outcome::Refused),
        500.. => note(Outcome::Failed),
        // A page of a proxy, which may come with 200: none of ours begins like that.
        _ if bytes.trim_ascii_start().starts_with(b"<") => note(Outcome::Failed),
        200..300 if !is_background => note(Outcome::Acted),
        _ => {}
    }
    if status >= 400 {
        Err(AppError::de(bytes))
    } else {
        Ok(Answer(bytes))
    }
}

async fn exchange(request: BrowserRequest) -> Result<(u16, Bytes), AppError> {
    let response = <BrowserClient as Client<AppError>>::send(request).await?;
    let status = ClientRes::<AppError>::status(&response);
    let bytes = ClientRes::<AppError>::try_into_bytes(response).await?;
    Ok((status, bytes))
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
