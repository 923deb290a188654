//! The tabs of one browser. They share a channel; one tab leads: it holds a lock and opens the stream. Messages
//! contain no secret.

use std::time::Duration;

use leptos::prelude::set_timeout;

use domain::{
    ids::SessionId,
    session::EndReason,
    state_machine::{ExpiryTimes, Millis},
};

use crate::ui::browser::{channel::Channel, lock, monotonic_ms};

/// The name of the channel and of the leader's lock. The number is the version of the messages: builds with different
/// messages ignore each other.
const NAME: &str = "broker-portal-session-1";

/// A leader that does not respond within this time is frozen.
pub const LEADER_TIMEOUT: Duration = Duration::from_secs(2);

/// A message to the other tabs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TabMessage {
    /// The id of the sending tab.
    pub from: u32,
    /// The session of the sending tab.
    pub session: SessionId,
    /// The last event number that the sending tab knows.
    pub event_number: i64,
    pub event: TabEvent,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TabEvent {
    /// Asks whether there is a leader.
    Hello,
    /// From the leader: the stream is open.
    StreamOpened,
    /// From the leader: the stream is closed.
    StreamLost,
    /// From the leader: the stream sent an event of this kind.
    StreamEvent(String),
    /// The session is live and expires at these times.
    Live(ExpiryTimes),
    /// The server reported the end of the session.
    Ended(EndReason),
    /// The user signs out this session in this tab.
    SigningOut,
    /// The user revokes another session in this tab.
    Revoking(SessionId),
    /// A user signed in in this tab.
    SignedIn,
}

/// The text form: words separated by spaces. Times are milliseconds from now, because each tab has its own clock.
impl TabMessage {
    /// The message of the sign-in page, which knows no session yet.
    pub fn signed_in() -> Self {
        Self {
            from: 0,
            session: SessionId(uuid::Uuid::nil()),
            event_number: 0,
            event: TabEvent::SignedIn,
        }
    }

    fn encode(&self, now: Millis) -> String {
        let (word, more) = match &self.event {
            TabEvent::Hello => ("hello", String::new()),
            TabEvent::StreamOpened => ("stream_opened", String::new()),
            TabEvent::StreamLost => ("stream_lost", String::new()),
            TabEvent::StreamEvent(kind) => ("told", kind.clone()),
            TabEvent::Live(times) => {
                let (idle, lifetime) = (times.idle_expires_at - now, times.lifetime_expires_at - now);
                let more = format!(
                    "{idle} {lifetime} {} {}",
                    times.idle_timeout, times.warning_period
                );
                ("live", more)
            }
            TabEvent::Ended(reason) => ("ended", reason.as_str().to_owned()),
            TabEvent::SigningOut => ("ends_here", String::new()),
            TabEvent::Revoking(session) => ("ends", session.to_string()),
            TabEvent::SignedIn => ("signed_in", String::new()),
        };
        let (from, session, number) = (self.from, self.session, self.event_number);
        format!("{from} {session} {number} {word} {more}")
    }

    /// `None`: not a message of this version.
    fn decode(text: &str, now: Millis) -> Option<Self> {
        let mut words = text.split(' ');
        let from = words.next()?.parse().ok()?;
        let session = words.next()?.parse().ok()?;
        let event_number = words.next()?.parse().ok()?;
        let event = match words.next()? {
            "hello" => TabEvent::Hello,
            "stream_opened" => TabEvent::StreamOpened,
            "stream_lost" => TabEvent::StreamLost,
            "told" => TabEvent::StreamEvent(words.next()?.to_owned()),
            "live" => {
                let mut time = || words.next()?.parse::<Millis>().ok();
                TabEvent::Live(ExpiryTimes {
                    idle_expires_at: now.saturating_add(time()?),
                    lifetime_expires_at: now.saturating_add(time()?),
                    idle_timeout: time()?,
                    warning_period: time()?,
                })
            }
            "ended" => TabEvent::Ended(words.next()?.parse().ok()?),
            "ends_here" => TabEvent::SigningOut,
            "ends" => TabEvent::Revoking(words.next()?.parse().ok()?),
            "signed_in" => TabEvent::SignedIn,
            _ => return None,
        };
        Some(Self {
            from,
            session,
            event_number,
            event,
        })
    }
}

/// The channel to the other tabs.
pub struct TabChannel(Option<Channel>);

impl TabChannel {
    /// `on_message` gets the messages of the others. Without support for channels, every tab is on its own.
    pub fn open(on_message: impl Fn(TabMessage) + 'static) -> Self {
        Self(Channel::open(NAME, move |text| {
            // Another build may send other messages.
            if let Some(message) = TabMessage::decode(&text, monotonic_ms()) {
                on_message(message);
            }
        }))
    }

    pub fn broadcast(&self, message: &TabMessage) {
        if let Some(channel) = &self.0 {
            channel.post(&message.encode(monotonic_ms()));
        }
    }

    /// Whether the tabs of this browser can share a stream.
    pub fn can_share_stream(&self) -> bool {
        self.0.is_some() && lock::is_supported()
    }
}

/// Waits for the lead. `at_once` takes it from a leader that does not respond.
pub fn request_lead(at_once: bool, on_acquired: impl FnOnce() + 'static, on_lost: impl FnOnce() + 'static) {
    lock::acquire(NAME, at_once, on_acquired, on_lost);
}

/// Calls `then` after the leader had time to respond.
pub fn after_leader_timeout(then: impl FnOnce() + 'static) {
    set_timeout(then, LEADER_TIMEOUT);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tab_messages_round_trip() {
        let times = ExpiryTimes {
            idle_expires_at: 5_000,
            lifetime_expires_at: 90_000,
            idle_timeout: 60_000,
            warning_period: 300_000,
        };
        let later = ExpiryTimes {
            idle_expires_at: 105_000,
            lifetime_expires_at: 190_000,
            ..times
        };
        let ended = TabEvent::Ended(EndReason::SignedOutEverywhere);
        let other = SessionId(uuid::Uuid::from_u128(2));
        let told = TabEvent::StreamEvent("sessions_changed".to_owned());
        for (event, heard) in [
            (TabEvent::Hello, TabEvent::Hello),
            (TabEvent::StreamOpened, TabEvent::StreamOpened),
            (TabEvent::StreamLost, TabEvent::StreamLost),
            (told.clone(), told),
            // The receiving tab's clock is 100 s ahead.
            (TabEvent::Live(times), TabEvent::Live(later)),
            (ended.clone(), ended),
            (TabEvent::SigningOut, TabEvent::SigningOut),
            (TabEvent::Revoking(other), TabEvent::Revoking(other)),
            (TabEvent::SignedIn, TabEvent::SignedIn),
        ] {
            let message = TabMessage {
                from: 7,
                session: SessionId(uuid::Uuid::from_u128(1)),
                event_number: 12,
                event,
            };
            let text = message.encode(0);
            assert_eq!(
                TabMessage::decode(&text, 100_000),
                Some(TabMessage {
                    event: heard,
                    ..message
                }),
                "{text}"
            );
        }
        for text in [
            "",
            "hello",
            "7 x 12 hello ",
            "7 00000000-0000-0000-0000-000000000001 12 live 1 2",
        ] {
            assert_eq!(TabMessage::decode(text, 0), None, "{text}");
        }
    }
}
