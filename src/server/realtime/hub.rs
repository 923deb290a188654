//! The streams that are open on this node.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::{
    domain::ids::{SessionId, UserId},
    server::store::events::{Event, EventKind},
};

/// How many events may wait for a client. One that is slower than that is cut off, and resumes where it was.
const QUEUE: usize = 64;

/// Hands events to open streams. Cheap to clone; clones know the same streams.
#[derive(Clone, Debug, Default)]
pub struct Hub(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    streams: Mutex<Streams>,
    /// The listener hears of what happens.
    listening: AtomicBool,
}

#[derive(Debug, Default)]
struct Streams {
    of_user: HashMap<UserId, Vec<Stream>>,
    /// The next stream's number.
    next: u64,
    closed: bool,
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
        if let Some(of_user) = streams.of_user.get_mut(&self.user) {
            of_user.retain(|stream| stream.number != self.number);
            if of_user.is_empty() {
                streams.of_user.remove(&self.user);
            }
        }
    }
}

impl Hub {
    fn streams(&self) -> std::sync::MutexGuard<'_, Streams> {
        self.0.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a stream for a session. Whoever does so looks at the session afterwards: an end that was committed before
    /// is not told here.
    pub fn subscribe(&self, user: UserId, session: SessionId) -> Subscription {
        let (queue, events) = channel(QUEUE);
        let mut streams = self.streams();
        let number = streams.next;
        streams.next += 1;
        if !streams.closed {
            streams.of_user.entry(user).or_default().push(Stream {
                number,
                session,
                queue,
            });
        }
        Subscription {
            hub: self.clone(),
            user,
            number,
            events,
        }
    }

    /// Hands an event to the streams that it concerns. Never waits: a stream whose queue is full is cut off.
    pub fn deliver(&self, event: &Event) {
        let mut streams = self.streams();
        let Some(of_user) = streams.of_user.get_mut(&event.user) else {
            return;
        };
        of_user.retain(|stream| {
            !concerns(event, stream.session) || stream.queue.try_send(event.clone()).is_ok()
        });
        if of_user.is_empty() {
            streams.of_user.remove(&event.user);
        }
    }

    /// Ends every stream, now and from now on: the server stops.
    pub fn close(&self) {
        let mut streams = self.streams();
        streams.closed = true;
        streams.of_user.clear();
    }

    /// How many streams are open here.
    pub fn open(&self) -> usize {
        self.streams().of_user.values().map(Vec::len).sum()
    }

    /// Whether the listener hears of what happens.
    pub fn is_listening(&self) -> bool {
        self.0.listening.load(Ordering::Relaxed)
    }

    pub(super) fn set_listening(&self, listening: bool) {
        self.0.listening.store(listening, Ordering::Relaxed);
    }
}

/// A session hears of its own end and change, and of any change to its person's list.
pub fn concerns(event: &Event, session: SessionId) -> bool {
    match event.kind {
        EventKind::SessionsChanged => true,
        EventKind::SessionUpdated | EventKind::SessionEnded { .. } | EventKind::OrganizationSwitched => {
            event.session == Some(session)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::session::EndReason;

    fn event(id: i64, user: UserId, session: Option<SessionId>, kind: EventKind) -> Event {
        Event {
            id,
            user,
            session,
            kind,
        }
    }

    #[tokio::test]
    async fn each_stream_hears_what_concerns_it_and_no_more() {
        let hub = Hub::default();
        let (maria, jonas) = (UserId::new(), UserId::new());
        let (phone, laptop) = (SessionId::new(), SessionId::new());
        let mut on_phone = hub.subscribe(maria, phone);
        let mut on_laptop = hub.subscribe(maria, laptop);
        let reason = EndReason::Revoked;
        hub.deliver(&event(1, maria, Some(laptop), EventKind::SessionEnded { reason }));
        hub.deliver(&event(2, jonas, None, EventKind::SessionsChanged));
        hub.deliver(&event(3, maria, None, EventKind::SessionsChanged));
        assert_eq!(on_laptop.next().await.expect("its end").id, 1);
        assert_eq!(on_laptop.next().await.expect("the list").id, 3);
        assert_eq!(on_phone.next().await.expect("the list").id, 3);
        drop(on_phone);
        assert_eq!(hub.open(), 1);
        hub.close();
        assert_eq!(on_laptop.next().await, None);
        assert_eq!(hub.subscribe(maria, phone).next().await, None);
        assert_eq!(hub.open(), 0);
    }

    #[tokio::test]
    async fn a_slow_client_is_cut_off_and_holds_nobody_up() {
        let hub = Hub::default();
        let maria = UserId::new();
        let mut slow = hub.subscribe(maria, SessionId::new());
        for id in 0..1000 {
            hub.deliver(&event(id, maria, None, EventKind::SessionsChanged));
        }
        assert_eq!(hub.open(), 0);
        let mut heard = 0;
        while slow.next().await.is_some() {
            heard += 1;
        }
        assert_eq!(heard, QUEUE);
    }
}
