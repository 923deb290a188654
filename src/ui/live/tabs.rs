//! The tabs of one browser. One of them leads: it holds a lock, and the stream. All hear what one says; no secret is in
//! it.

use std::time::Duration;

use leptos::prelude::set_timeout;

use domain::{
    ids::SessionId,
    session::EndReason,
    state_machine::{ExpiryTimes, Millis},
};

use crate::ui::browser::{channel::Channel, lock, monotonic_ms};

/// The channel, and the lock of the tab that leads. The number is that of what tabs say: builds that say it in other words
/// do not hear each other.
const NAME: &str = "broker-portal-session-1";

/// A tab that leads and does not answer for so long is frozen.
pub const LEADER_TIMEOUT: Duration = Duration::from_secs(2);

/// What a tab tells the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TabMessage {
    /// The tab that speaks, by a number that it drew.
    pub from: u32,
    /// The session that it speaks of.
    pub session: SessionId,
    /// The number of the last event that the tab knows of.
    pub event_number: i64,
    pub event: TabEvent,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TabEvent {
    /// "Is there a tab that leads?"
    Hello,
    /// The leading tab: the stream is open.
    StreamOpened,
    /// The leading tab: the stream is not open.
    StreamLost,
    /// The leading tab: the stream told of an event of this kind.
    StreamEvent(String),
    /// The server knows the session, and until when.
    Live(ExpiryTimes),
    /// The server says that the session is over.
    Ended(EndReason),
    /// The person ends the session in this tab, with all others.
    SigningOut,
    /// The person ends this other session in this tab.
    Revoking(SessionId),
    /// Someone signed in in this tab.
    SignedIn,
}

/// As it travels: words with spaces between. Times are told in milliseconds from now, since each tab has a clock of its
/// own.
impl TabMessage {
    /// What the sign-in page says, which knows no session yet.
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

    /// `None`: it is something else.
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

/// The way to the other tabs.
pub struct TabChannel(Option<Channel>);

impl TabChannel {
    /// `on_message` gets what the others say. In a browser without channels every tab is by itself.
    pub fn open(on_message: impl Fn(TabMessage) + 'static) -> Self {
        Self(Channel::open(NAME, move |text| {
            // Another build of the portal may have other words.
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

/// Waits to be the tab that leads. `at_once`: takes the lead from a tab that does not answer.
pub fn request_lead(at_once: bool, on_acquired: impl FnOnce() + 'static, on_lost: impl FnOnce() + 'static) {
    lock::acquire(NAME, at_once, on_acquired, on_lost);
}

/// Has `then` called if no tab that leads can have answered until then.
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
            // The clock of the tab that hears is 100 s ahead.
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
                Some(TabMessage { event: heard, ..said }),
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
