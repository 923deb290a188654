//! Tracks the progress of a connection, and when it misses a deadline.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, Incoming, SizeHint};
use tokio::time::Instant;

/// How long a connection may wait for its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// From connecting to the head of the first request. Covers silence, a partial preface and a slow head.
    pub first_request: Duration,
    /// Between two requests. Longer than a minute, the usual keep-alive of proxies.
    pub next_request: Duration,
    /// Until the client reads the next part of a response, or sends the rest of a request.
    pub response: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            first_request: Duration::from_secs(30),
            next_request: Duration::from_secs(75),
            response: Duration::from_secs(60),
        }
    }
}

/// A client that has neither read nor sent for this long may be disconnected to make room.
const STALLED: Duration = Duration::from_secs(5);

/// What one connection waits for. Clones refer to the same connection.
#[derive(Clone, Debug)]
pub struct Progress(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    has_requested: bool,
    /// When the connection was opened or the last request ended.
    last_request: Instant,
    /// The socket has no room for pending output.
    is_blocked: bool,
    /// When the socket became full, or last accepted blocked output.
    last_write: Instant,
    next_request: u64,
    /// Requests in progress. `Some`: since when the client must read the response. `None`: the server must produce it.
    requests: HashMap<u64, Option<Instant>>,
    /// By request: since when the client must send the rest of its body.
    bodies: HashMap<u64, Instant>,
}

/// Why a connection may be closed to make room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idleness {
    /// No request is in progress.
    Idle,
    /// The client neither reads the response nor sends the rest of a request.
    Stalled,
}

impl Progress {
    pub fn new() -> Self {
        let now = Instant::now();
        Self(Arc::new(Mutex::new(State {
            has_requested: false,
            last_request: now,
            is_blocked: false,
            last_write: now,
            next_request: 0,
            requests: HashMap::new(),
            bodies: HashMap::new(),
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records that the head of a request arrived.
    pub fn request(&self) -> RequestProgress {
        let mut state = self.state();
        state.has_requested = true;
        let id = state.next_request;
        state.next_request += 1;
        state.requests.insert(id, None);
        RequestProgress {
            progress: self.clone(),
            id,
        }
    }

    /// Records whether output waits for the client. Call this at each change, and whenever the client has read
    /// something.
    pub fn set_blocked(&self, is_blocked: bool) {
        let mut state = self.state();
        state.is_blocked = is_blocked;
        state.last_write = Instant::now();
    }

    /// `None`: the connection is in use.
    pub fn idleness(&self) -> Option<Idleness> {
        let state = self.state();
        match state.waiting_for_client() {
            Some(since) => (since.elapsed() > STALLED).then_some(Idleness::Stalled),
            None => state.requests.is_empty().then_some(Idleness::Idle),
        }
    }

    /// Waits until the client misses a deadline.
    pub async fn wait_until_overdue(&self, deadlines: Deadlines) {
        loop {
            let now = Instant::now();
            let next = match self.state().deadline(deadlines) {
                Some(deadline) if deadline <= now => return,
                Some(deadline) => deadline,
                // The server must respond; its response starts a new deadline.
                None => now + deadlines.first_request.min(deadlines.response),
            };
            tokio::time::sleep_until(next).await;
        }
    }
}

impl State {
    /// Returns since when the client has neither read the next part of a response nor sent the rest of a request.
    fn waiting_for_client(&self) -> Option<Instant> {
        if let Some(since) = self.bodies.values().min() {
            return Some(*since);
        }
        let since = self.requests.values().copied().flatten().min();
        match since {
            Some(since) => Some(since.max(self.last_write)),
            // The request has ended, but the end of its response is still being sent.
            None => self.is_blocked.then_some(self.last_write),
        }
    }

    fn deadline(&self, deadlines: Deadlines) -> Option<Instant> {
        if let Some(since) = self.waiting_for_client() {
            Some(since + deadlines.response)
        } else if !self.requests.is_empty() {
            None
        } else if self.has_requested {
            Some(self.last_request.max(self.last_write) + deadlines.next_request)
        } else {
            Some(self.last_request + deadlines.first_request)
        }
    }
}

/// One request in progress, until its response is written or cancelled.
#[derive(Debug)]
pub struct RequestProgress {
    progress: Progress,
    id: u64,
}

impl RequestProgress {
    fn set(&self, waiting_for_client: Option<Instant>) {
        self.progress.state().requests.insert(self.id, waiting_for_client);
    }

    /// Wraps the request body to record when it waits for the client.
    pub fn body(&self, body: Incoming) -> RequestBody {
        RequestBody {
            body,
            progress: self.progress.clone(),
            id: self.id,
        }
    }

    /// Wraps the response body, which the client now reads part by part.
    pub fn start_response(self, body: Body) -> ResponseBody {
        self.set(Some(Instant::now()));
        ResponseBody { body, request: self }
    }
}

impl Drop for RequestProgress {
    fn drop(&mut self) {
        let mut state = self.progress.state();
        state.requests.remove(&self.id);
        state.last_request = Instant::now();
    }
}

/// The body of a request. Once the server waits for data, the client has one deadline for the rest: single bytes do not
/// extend it.
#[derive(Debug)]
pub struct RequestBody {
    body: Incoming,
    progress: Progress,
    id: u64,
}

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        let mut state = self.progress.state();
        match &polled {
            Poll::Pending => {
                state.bodies.entry(self.id).or_insert_with(Instant::now);
            }
            Poll::Ready(Some(Ok(_))) if !self.body.is_end_stream() => {}
            Poll::Ready(_) => {
                state.bodies.remove(&self.id);
            }
        }
        drop(state);
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        self.progress.state().bodies.remove(&self.id);
    }
}

/// The body of a response. Records whether the server or the client must act next. It is polled when there is room:
/// with HTTP/1 in the socket, with HTTP/2 in the client's window.
#[derive(Debug)]
pub struct ResponseBody {
    body: Body,
    request: RequestProgress,
}

impl HttpBody for ResponseBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        let waits_for_client = polled.is_ready().then(Instant::now);
        self.request.set(waits_for_client);
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
