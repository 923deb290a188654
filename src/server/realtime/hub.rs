//! The streams that are open on this node.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use chrono::{DateTime, Utc};

use domain::ids::{SessionId, UserId};
use tokio::sync::{
    mpsc::{Receiver, Sender, channel},
    watch,
};

use crate::server::{
    store::events::{Event, EventKind},
    telemetry::metrics::StreamMetrics,
};

/// How many events may wait for a client. One that is slower than that is cut off, and resumes where it was.
const QUEUE: usize = 64;

/// How many streams a session may have open, one for each of a few tabs or programs. One more closes the oldest.
const MAX_PER_SESSION: usize = 8;

/// How many streams a person may have open.
const MAX_PER_USER: usize = 100;

/// How many streams this node keeps open, unless it may open fewer files than that needs.
const MAX_STREAMS: usize = 10_000;

/// Hands events to open streams. Cheap to clone; clones know the same streams.
#[derive(Clone, Debug, Default)]
pub struct Hub(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    streams: Mutex<Streams>,
    /// How many streams may be open.
    max_streams: usize,
    /// The listener hears of what happens.
    listening: watch::Sender<bool>,
}

impl Default for Inner {
    fn default() -> Self {
        Self {
            streams: Mutex::default(),
            max_streams: MAX_STREAMS,
            listening: watch::Sender::new(false),
        }
    }
}

/// As many streams are open as may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("as many streams are open as may be")]
pub struct TooManyStreams;

#[derive(Debug, Default)]
struct Streams {
    by_user: HashMap<UserId, Vec<Stream>>,
    /// The next stream's number.
    next: u64,
    /// How many are open.
    open: usize,
    closed: bool,
    /// Sessions that have ended and whose streams are still open, and when they ended.
    closing: HashMap<SessionId, Instant>,
    metrics: StreamMetrics,
}

#[derive(Debug)]
struct Stream {
    number: u64,
    session: SessionId,
    queue: Sender<Event>,
}

/// A client's place in the hub, given up when dropped.
#[derive(Debug)]
pub struct Subscription {
    hub: Hub,
    user: UserId,
    session: SessionId,
    number: u64,
    events: Receiver<Event>,
}

impl Subscription {
    /// The next event. `None`: the client was too slow, or the server stops; what it missed is in the log.
    pub async fn next(&mut self) -> Option<Event> {
        self.events.recv().await
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut streams = self.hub.streams();
        streams.retain(self.user, |stream| stream.number != self.number);
        streams.record_close(self.user, self.session);
    }
}

impl Streams {
    /// Keeps those streams of a person that are to be kept.
    fn retain(&mut self, user: UserId, keep: impl FnMut(&Stream) -> bool) {
        if let Some(by_user) = self.by_user.get_mut(&user) {
            let before = by_user.len();
            by_user.retain(keep);
            self.open -= before - by_user.len();
            if by_user.is_empty() {
                self.by_user.remove(&user);
            }
        }
    }

    /// Whether a session of this person has a stream.
    fn has(&self, user: UserId, session: SessionId) -> bool {
        self.by_user
            .get(&user)
            .is_some_and(|by_user| by_user.iter().any(|stream| stream.session == session))
    }

    /// Notes how long a session that has ended still had streams, once the last one is closed.
    fn record_close(&mut self, user: UserId, session: SessionId) {
        if !self.has(user, session)
            && let Some(ended) = self.closing.remove(&session)
        {
            self.metrics.close_delay.observe(ended.elapsed().as_secs_f64());
        }
    }

    /// Closes the oldest stream, where there are as many as may be.
    fn make_room(&mut self, user: UserId, session: SessionId) {
        let Some(by_user) = self.by_user.get(&user) else {
            return;
        };
        let of_session = || by_user.iter().filter(|stream| stream.session == session);
        let oldest = if of_session().count() >= MAX_PER_SESSION {
            of_session().next()
        } else if by_user.len() >= MAX_PER_USER {
            by_user.first()
        } else {
            None
        };
        if let Some(number) = oldest.map(|stream| stream.number) {
            self.retain(user, |stream| stream.number != number);
        }
    }
}

impl Hub {
    /// A hub for a process that may have so many connections: a good part of them is left for requests.
    pub fn for_connections(connections: usize) -> Self {
        let max_streams = (connections / 4 * 3).min(MAX_STREAMS);
        Self(Arc::new(Inner {
            max_streams,
            ..Inner::default()
        }))
    }

    fn streams(&self) -> std::sync::MutexGuard<'_, Streams> {
        self.0.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a stream for a session. Whoever does so looks at the session afterwards: an end that was committed before
    /// is not told here.
    ///
    /// # Errors
    /// [`TooManyStreams`] when this node keeps as many open as it may.
    pub fn subscribe(&self, user: UserId, session: SessionId) -> Result<Subscription, TooManyStreams> {
        let (queue, events) = channel(QUEUE);
        let mut streams = self.streams();
        streams.make_room(user, session);
        if streams.open >= self.0.max_streams {
            return Err(TooManyStreams);
        }
        let number = streams.next;
        streams.next += 1;
        if !streams.closed {
            streams.open += 1;
            streams.by_user.entry(user).or_default().push(Stream {
                number,
                session,
                queue,
            });
        }
        Ok(Subscription {
            hub: self.clone(),
            user,
            session,
            number,
            events,
        })
    }

    /// Hands an event to the streams that it concerns. Never waits: a stream whose queue is full is cut off.
    pub fn deliver(&self, event: &Event, now: DateTime<Utc>) {
        let age = (now - event.at).to_std().unwrap_or_default();
        let mut streams = self.streams();
        streams.metrics.event_age.observe(age.as_secs_f64());
        if let (EventKind::SessionEnded { .. }, Some(session)) = (event.kind, event.session)
            && streams.has(event.user, session)
        {
            let arrived = Instant::now();
            let ended = arrived.checked_sub(age).unwrap_or(arrived);
            streams.closing.insert(session, ended);
        }
        streams.retain(event.user, |stream| {
            !is_relevant(event, stream.session) || stream.queue.try_send(event.clone()).is_ok()
        });
    }

    /// Ends every stream, now and from now on: the server stops.
    pub fn close(&self) {
        let mut streams = self.streams();
        streams.closed = true;
        streams.open = 0;
        streams.by_user.clear();
        streams.closing.clear();
    }

    /// What is measured of events and streams.
    pub fn metrics(&self) -> StreamMetrics {
        self.streams().metrics.clone()
    }

    /// How many streams are open here.
    pub fn open_streams(&self) -> usize {
        self.streams().open
    }

    /// Whether the listener hears of what happens.
    pub fn is_listening(&self) -> bool {
        *self.0.listening.borrow()
    }

    /// Waits until the listener hears of what happens.
    pub async fn wait_until_listening(&self) {
        // The sender is here, so it cannot be gone.
        _ = self
            .0
            .listening
            .subscribe()
            .wait_for(|listening| *listening)
            .await;
    }

    pub(super) fn set_listening(&self, listening: bool) {
        self.0.listening.send_replace(listening);
    }
}

/// A session hears of its own end and change, and of any change to its person's list.
pub fn is_relevant(event: &Event, session: SessionId) -> bool {
    match event.kind {
        EventKind::SessionsChanged => true,
        EventKind::SessionUpdated
        | EventKind::CredentialReplaced
        | EventKind::SessionEnded { .. }
        | EventKind::OrganizationSwitched => event.session == Some(session),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::session::EndReason;

    fn event(id: i64, user: UserId, session: Option<SessionId>, kind: EventKind) -> Event {
        Event {
            id,
            at: DateTime::UNIX_EPOCH,
            user,
            session,
            kind,
        }
    }

    #[tokio::test]
    async fn each_stream_receives_only_its_own_events() {
        let hub = Hub::default();
        let (maria, jonas) = (UserId::new(), UserId::new());
        let (phone, laptop) = (SessionId::new(), SessionId::new());
        let mut on_phone = hub.subscribe(maria, phone).expect("room");
        let mut on_laptop = hub.subscribe(maria, laptop).expect("room");
        let reason = EndReason::Revoked;
        hub.deliver(
            &event(1, maria, Some(laptop), EventKind::SessionEnded { reason }),
            DateTime::UNIX_EPOCH,
        );
        hub.deliver(
            &event(2, jonas, None, EventKind::SessionsChanged),
            DateTime::UNIX_EPOCH,
        );
        hub.deliver(
            &event(3, maria, None, EventKind::SessionsChanged),
            DateTime::UNIX_EPOCH,
        );
        assert_eq!(on_laptop.next().await.expect("its end").id, 1);
        assert_eq!(on_laptop.next().await.expect("the list").id, 3);
        assert_eq!(on_phone.next().await.expect("the list").id, 3);
        drop(on_phone);
        assert_eq!(hub.open_streams(), 1);
        hub.close();
        assert_eq!(on_laptop.next().await, None);
        assert_eq!(hub.subscribe(maria, phone).expect("room").next().await, None);
        assert_eq!(hub.open_streams(), 0);
    }

    #[tokio::test]
    async fn slow_client_is_disconnected_and_delays_nobody() {
        let hub = Hub::default();
        let maria = UserId::new();
        let mut slow = hub.subscribe(maria, SessionId::new()).expect("room");
        for id in 0..1000 {
            hub.deliver(
                &event(id, maria, None, EventKind::SessionsChanged),
                DateTime::UNIX_EPOCH,
            );
        }
        assert_eq!(hub.open_streams(), 0);
        let mut heard = 0;
        while slow.next().await.is_some() {
            heard += 1;
        }
        assert_eq!(heard, QUEUE);
    }

    #[tokio::test]
    async fn stream_limits_hold_per_session_and_node() {
        let hub = Hub::for_connections(40);
        let maria = UserId::new();
        let session = SessionId::new();
        let mut first = hub.subscribe(maria, session).expect("room");
        let mut held: Vec<_> = (0..100)
            .filter_map(|_| hub.subscribe(maria, session).ok())
            .collect();
        assert_eq!(hub.open_streams(), MAX_PER_SESSION);
        assert_eq!(first.next().await, None, "the oldest makes room");
        held.extend((0..100).filter_map(|_| hub.subscribe(UserId::new(), SessionId::new()).ok()));
        assert_eq!(hub.open_streams(), 30);
        assert_eq!(
            hub.subscribe(UserId::new(), SessionId::new()).err(),
            Some(TooManyStreams)
        );
        drop(held);
        assert_eq!(hub.open_streams(), 0);
    }
}
