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
    future::{Either, select},
};
use leptos::server_fn::{
    Bytes,
    client::{Client, browser::BrowserClient},
    error::{FromServerFnError, ServerFnErrorErr},
    request::{ClientReq, browser::BrowserRequest},
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
    /// The server answered.
    Answered,
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

impl<E> Client<E> for KeptClient
where
    E: FromServerFnError + Send + 'static,
{
    type Request = BrowserRequest;
    type Response = BrowserResponse;

    fn send(request: BrowserRequest) -> impl Future<Output = Result<BrowserResponse, E>> + Send {
        let is_background = IN_BACKGROUND.get();
        if is_background {
            request.headers().set(BACKGROUND, "1");
        }
        send(request, is_background)
    }

    fn open_websocket(
        path: &str,
    ) -> impl Future<
        Output = Result<
            (
                impl Stream<Item = Result<Bytes, Bytes>> + Send + 'static,
                impl Sink<Bytes> + Send + 'static,
            ),
            E,
        >,
    > + Send {
        <BrowserClient as Client<E>>::open_websocket(path)
    }

    fn spawn(future: impl Future<Output = ()> + Send + 'static) {
        <BrowserClient as Client<E>>::spawn(future);
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
    let answer = send::<AppError>(request, false).await?;
    let is_done = (200..300).contains(&ClientRes::<AppError>::status(&answer));
    let text = ClientRes::<AppError>::try_into_string(answer).await?;
    if is_done {
        Ok(text)
    } else {
        Err(serde_json::from_str(&text).unwrap_or(AppError::Internal))
    }
}

async fn send<E>(request: BrowserRequest, is_background: bool) -> Result<BrowserResponse, E>
where
    E: FromServerFnError + Send + 'static,
{
    within(WAITS, Box::pin(until_decided()))
        .await
        .ok_or_else(not_reached)?;
    let _under_way = if is_background {
        until_quiet().await;
        None
    } else {
        Some(UnderWay::begins())
    };
    let answer = within(PATIENCE, Box::pin(<BrowserClient as Client<E>>::send(request))).await;
    let status = match &answer {
        Some(Ok(answer)) => ClientRes::<E>::status(answer),
        _ => 0,
    };
    if let Some(watch) = WATCH.get() {
        (watch.note)(match status {
            401 => Outcome::Refused,
            0 | 500.. => Outcome::Failed,
            200..300 if !is_background => Outcome::Acted,
            _ => Outcome::Answered,
        });
    }
    answer.unwrap_or_else(|| Err(not_reached()))
}

async fn until_decided() {
    while let Some(decided) = WATCH.get().and_then(|watch| (watch.wait)()) {
        // Decided or dropped with the page: it is looked at again either way.
        _ = decided.await;
    }
}

fn not_reached<E: FromServerFnError>() -> E {
    E::from_server_fn_error(ServerFnErrorErr::Request("no answer in time".to_owned()))
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
