//! The event streams that are open on this node.

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

/// Events that may wait for one client. A slower client is disconnected, and resumes from the event log.
const QUEUE: usize = 64;

/// Streams per session, for several tabs or programs. One more closes the oldest.
const MAX_PER_SESSION: usize = 8;

/// Streams per user. One more closes the oldest.
const MAX_PER_USER: usize = 100;

/// Streams per node, unless the limit of open files is lower.
const MAX_STREAMS: usize = 10_000;

/// Delivers events to open streams. Cheap to clone; clones share their streams.
#[derive(Clone, Debug, Default)]
pub struct Hub(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    streams: Mutex<Streams>,
    max_streams: usize,
    /// Whether the listener is connected.
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

/// The node has reached its limit of streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many streams are open")]
pub struct TooManyStreams;

#[derive(Debug, Default)]
struct Streams {
    by_user: HashMap<UserId, Vec<Stream>>,
    /// The number of the next stream.
    next: u64,
    /// Open streams on this node.
    open: usize,
    closed: bool,
    /// Ended sessions with open streams, and when they ended.
    closing: HashMap<SessionId, Instant>,
    metrics: StreamMetrics,
}

#[derive(Debug)]
struct Stream {
    number: u64,
    session: SessionId,
    queue: Sender<Event>,
}

/// A client's registration in the hub. Dropping it removes the registration.
#[derive(Debug)]
pub struct Subscription {
    hub: Hub,
    user: UserId,
    session: SessionId,
    number: u64,
    events: Receiver<Event>,
}

impl Subscription {
    /// The next event. `None`: the client was too slow, or the server is stopping. The event log has what it missed.
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
    /// Keeps the streams of a user for which `keep` returns true.
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

    /// Whether the session has a stream.
    fn has(&self, user: UserId, session: SessionId) -> bool {
        self.by_user
            .get(&user)
            .is_some_and(|by_user| by_user.iter().any(|stream| stream.session == session))
    }

    /// Measures the time from the end of a session to the close of its last stream.
    fn record_close(&mut self, user: UserId, session: SessionId) {
        if !self.has(user, session)
            && let Some(ended) = self.closing.remove(&session)
        {
            self.metrics.close_delay.observe(ended.elapsed().as_secs_f64());
        }
    }

    /// Closes the oldest stream if the session or the user has reached the limit.
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
    /// A hub for a process with this many connections. Keeps a quarter of them for requests.
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

    /// Opens a stream for a session. Check the session afterwards: this stream does not receive an end that was committed
    /// before.
    ///
    /// # Errors
    /// [`TooManyStreams`] at the limit of this node.
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

    /// Queues an event for all relevant streams. Never waits: closes a stream whose queue is full.
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

    /// Closes all streams and accepts no new ones: the server is stopping.
    pub fn close(&self) {
        let mut streams = self.streams();
        streams.closed = true;
        streams.open = 0;
        streams.by_user.clear();
        streams.closing.clear();
    }

    /// The metrics of events and streams.
    pub fn metrics(&self) -> StreamMetrics {
        self.streams().metrics.clone()
    }

    /// Number of open streams on this node.
    pub fn open_streams(&self) -> usize {
        self.streams().open
    }

    /// Whether the listener is connected.
    pub fn is_listening(&self) -> bool {
        *self.0.listening.borrow()
    }

    /// Waits until the listener is connected.
    pub async fn wait_until_listening(&self) {
        // Never fails: `self` owns the sender.
        _ = self
            .0
            .listening
            .subscribe()
            .wait_for(|listening| *listening)
            .await;
    }

    /// Marks the hub as listening until the returned guard is dropped, also by a panic.
    pub(super) fn listening(&self) -> Listening {
        self.0.listening.send_replace(true);
        Listening(self.clone())
    }
}

/// The listener receives events for this hub.
#[must_use]
pub(super) struct Listening(Hub);

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.0.listening.send_replace(false);
    }
}

/// Whether a session's stream must receive this event: its own end and changes, and changes of its user's list.
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
