//! How a connection gets on, and when it has taken too long.

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
    /// From the connection to the head of the first request: silence, half a preface, a head that comes in drops.
    pub first_request: Duration,
    /// Between two requests. Longer than the minute for which proxies commonly keep connections.
    pub next_request: Duration,
    /// Until the client takes the next part of an answer, or has sent the whole of a request.
    pub answer: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            first_request: Duration::from_secs(30),
            next_request: Duration::from_secs(75),
            answer: Duration::from_secs(60),
        }
    }
}

/// A client that has not taken the next part of an answer for so long, or owes the rest of a request, may be closed to
/// make room.
const STALLED: Duration = Duration::from_secs(5);

/// What one connection waits for. Clones are the same connection.
#[derive(Clone, Debug)]
pub struct Progress(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    has_requested: bool,
    /// The connection began, or a request ended.
    last_request: Instant,
    /// The socket has no room for what is to be written.
    is_blocked: bool,
    /// The socket became full, or took bytes that had waited for the client.
    last_write: Instant,
    next_request: u64,
    /// Requests in progress, and since when the client owes taking a part of the answer. `None`: the server owes it.
    requests: HashMap<u64, Option<Instant>>,
    /// Since when the client owes the rest of a request's body, by request.
    bodies: HashMap<u64, Instant>,
}

/// Why a connection may be closed to make room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idleness {
    /// No request is in progress.
    Idle,
    /// Nobody reads the answer, or sends the rest of a request.
    Stalled,
}

impl Progress {
    pub fn begin() -> Self {
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

    /// A request arrived whole but for its body.
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

    /// Whether the socket waits for the client to take bytes, at each change of this and each time that it took some.
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

    /// Ends once the client has let a deadline pass.
    pub async fn overdue(&self, deadlines: Deadlines) {
        loop {
            let now = Instant::now();
            let next = match self.state().deadline(deadlines) {
                Some(deadline) if deadline <= now => return,
                Some(deadline) => deadline,
                // The server owes an answer; when it has come, a new deadline begins.
                None => now + deadlines.first_request.min(deadlines.answer),
            };
            tokio::time::sleep_until(next).await;
        }
    }
}

impl State {
    /// Since when the client has not done what it owes: take the next part of an answer, send the rest of a request.
    fn waiting_for_client(&self) -> Option<Instant> {
        if let Some(since) = self.bodies.values().min() {
            return Some(*since);
        }
        let since = self.requests.values().copied().flatten().min();
        match since {
            Some(since) => Some(since.max(self.last_write)),
            // The end of an answer is no request any more, and still on its way.
            None => self.is_blocked.then_some(self.last_write),
        }
    }

    fn deadline(&self, deadlines: Deadlines) -> Option<Instant> {
        if let Some(since) = self.waiting_for_client() {
            Some(since + deadlines.answer)
        } else if !self.requests.is_empty() {
            None
        } else if self.has_requested {
            Some(self.last_request.max(self.last_write) + deadlines.next_request)
        } else {
            Some(self.last_request + deadlines.first_request)
        }
    }
}

/// One request in progress, until its answer is written or given up.
#[derive(Debug)]
pub struct RequestProgress {
    progress: Progress,
    id: u64,
}

impl RequestProgress {
    fn set(&self, waiting_for_client: Option<Instant>) {
        self.progress.state().requests.insert(self.id, waiting_for_client);
    }

    /// The body of the request, which notes when it has to wait for the client.
    pub fn body(&self, body: Incoming) -> RequestBody {
        RequestBody {
            body,
            progress: self.progress.clone(),
            id: self.id,
        }
    }

    /// The answer begins: from now on the client takes it part by part.
    pub fn answer(self, body: Body) -> AnswerBody {
        self.set(Some(Instant::now()));
        AnswerBody { body, request: self }
    }
}

impl Drop for RequestProgress {
    fn drop(&mut self) {
        let mut state = self.progress.state();
        state.requests.remove(&self.id);
        state.last_request = Instant::now();
    }
}

/// The body of a request. From the moment at which the server had to wait for a part of it, the client owes it: a drop
/// now and then changes nothing.
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

/// The body of an answer, which notes whether the server or the client has to do something next. It is polled when there
/// is room for more: HTTP/1 has room once the socket took enough, HTTP/2 once the client opened its window.
#[derive(Debug)]
pub struct AnswerBody {
    body: Body,
    request: RequestProgress,
}

impl HttpBody for AnswerBody {
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
