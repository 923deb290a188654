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
    request::browser::BrowserRequest,
    response::{ClientRes, browser::BrowserResponse},
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

/// An answer, read to its end.
pub struct Answer {
    status: u16,
    has_redirect: bool,
    location: String,
    bytes: Bytes,
}

impl Answer {
    async fn read(response: BrowserResponse) -> Result<Self, AppError> {
        let status = ClientRes::<AppError>::status(&response);
        let has_redirect = ClientRes::<AppError>::has_redirect(&response);
        let location = ClientRes::<AppError>::location(&response);
        let bytes = ClientRes::<AppError>::try_into_bytes(response).await?;
        Ok(Self {
            status,
            has_redirect,
            location,
            bytes,
        })
    }

    /// What it says of the session and of the way to the server.
    fn outcome(&self, is_background: bool) -> Option<Outcome> {
        match self.status {
            401 => Some(Outcome::Refused),
            500.. => Some(Outcome::Failed),
            // A page of a proxy, which may come with 200: none of ours begins like that.
            _ if self.bytes.trim_ascii_start().starts_with(b"<") => Some(Outcome::Failed),
            200..300 if !is_background => Some(Outcome::Acted),
            _ => None,
        }
    }
}

impl ClientRes<AppError> for Answer {
    fn try_into_string(self) -> impl Future<Output = Result<String, AppError>> + Send {
        ready(String::from_utf8(self.bytes.to_vec()).map_err(|_| AppError::Internal))
    }

    fn try_into_bytes(self) -> impl Future<Output = Result<Bytes, AppError>> + Send {
        ready(Ok(self.bytes))
    }

    fn try_into_stream(
        self,
    ) -> Result<impl Stream<Item = Result<Bytes, Bytes>> + Send + Sync + 'static, AppError> {
        Ok(once(ready(Ok(self.bytes))))
    }

    fn status(&self) -> u16 {
        self.status
    }

    fn status_text(&self) -> String {
        String::new()
    }

    fn location(&self) -> String {
        self.location.clone()
    }

    fn has_redirect(&self) -> bool {
        self.has_redirect
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
    let answer = answer.unwrap_or(Err(AppError::Offline));
    let outcome = match &answer {
        Ok(answer) => answer.outcome(is_background),
        Err(_) => Some(Outcome::Failed),
    };
    if let (Some(watch), Some(outcome)) = (WATCH.get(), outcome) {
        (watch.note)(outcome);
    }
    answer
}

async fn exchange(request: BrowserRequest) -> Result<Answer, AppError> {
    let response = <BrowserClient as Client<AppError>>::send(request).await?;
    // Half an answer is none.
    Answer::read(response).await.map_err(|_| AppError::Offline)
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
