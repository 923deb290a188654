//! The tabs of one browser. One of them leads: it holds a lock, and the stream. All hear what one says; no secret is in
//! it.

use std::time::Duration;

use leptos::prelude::set_timeout;

use domain::{
    ids::SessionId,
    session::EndReason,
    state_machine::{Millis, Times},
};

use crate::ui::browser::{channel::Channel, lock, monotonic};

/// The channel, and the lock of the tab that leads. The number is that of what tabs say: builds that say it in other words
/// do not hear each other.
const NAME: &str = "broker-portal-session-1";

/// A tab that leads and does not answer for so long is frozen.
pub const ANSWERS_WITHIN: Duration = Duration::from_secs(2);

/// What a tab tells the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// The tab that speaks, by a number that it drew.
    pub from: u32,
    /// The session that it speaks of.
    pub session: SessionId,
    /// The number of the last event that the tab knows of.
    pub event_number: i64,
    pub what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// "Is there a tab that leads?"
    Hello,
    /// The leading tab: the stream is open.
    StreamOpened,
    /// The leading tab: the stream is not open.
    StreamLost,
    /// The leading tab: the stream told of an event of this kind.
    Told(String),
    /// The server knows the session, and until when.
    Live(Times),
    /// The server says that the session is over.
    Ended(EndReason),
    /// The person ends the session in this tab, with all others.
    EndsHere,
    /// The person ends this other session in this tab.
    Ends(SessionId),
    /// Someone signed in in this tab.
    SignedIn,
}

/// As it travels: words with spaces between. Times are told in milliseconds from now, since each tab has a clock of its
/// own.
impl Said {
    /// What the sign-in page says, which knows no session yet.
    pub fn signed_in() -> Self {
        Self {
            from: 0,
            session: SessionId(uuid::Uuid::nil()),
            event_number: 0,
            what: What::SignedIn,
        }
    }

    fn write(&self, now: Millis) -> String {
        let (word, more) = match &self.what {
            What::Hello => ("hello", String::new()),
            What::StreamOpened => ("stream_opened", String::new()),
            What::StreamLost => ("stream_lost", String::new()),
            What::Told(kind) => ("told", kind.clone()),
            What::Live(times) => {
                let (idle, lifetime) = (times.idle_end - now, times.lifetime_end - now);
                let more = format!("{idle} {lifetime} {} {}", times.idle_for, times.warn_for);
                ("live", more)
            }
            What::Ended(reason) => ("ended", reason.as_str().to_owned()),
            What::EndsHere => ("ends_here", String::new()),
            What::Ends(session) => ("ends", session.to_string()),
            What::SignedIn => ("signed_in", String::new()),
        };
        let (from, session, number) = (self.from, self.session, self.event_number);
        format!("{from} {session} {number} {word} {more}")
    }

    /// `None`: it is something else.
    fn read(text: &str, now: Millis) -> Option<Self> {
        let mut words = text.split(' ');
        let from = words.next()?.parse().ok()?;
        let session = words.next()?.parse().ok()?;
        let event_number = words.next()?.parse().ok()?;
        let what = match words.next()? {
            "hello" => What::Hello,
            "stream_opened" => What::StreamOpened,
            "stream_lost" => What::StreamLost,
            "told" => What::Told(words.next()?.to_owned()),
            "live" => {
                let mut time = || words.next()?.parse::<Millis>().ok();
                What::Live(Times {
                    idle_end: now.saturating_add(time()?),
                    lifetime_end: now.saturating_add(time()?),
                    idle_for: time()?,
                    warn_for: time()?,
                })
            }
            "ended" => What::Ended(words.next()?.parse().ok()?),
            "ends_here" => What::EndsHere,
            "ends" => What::Ends(words.next()?.parse().ok()?),
            "signed_in" => What::SignedIn,
            _ => return None,
        };
        Some(Self {
            from,
            session,
            event_number,
            what,
        })
    }
}

/// The way to the other tabs.
pub struct Tabs(Option<Channel>);

impl Tabs {
    /// `hears` gets what the others say. In a browser without channels every tab is by itself.
    pub fn open(hears: impl Fn(Said) + 'static) -> Self {
        Self(Channel::open(NAME, move |text| {
            // Another build of the portal may have other words.
            if let Some(said) = Said::read(&text, monotonic()) {
                hears(said);
            }
        }))
    }

    pub fn say(&self, said: &Said) {
        if let Some(channel) = &self.0 {
            channel.say(&said.write(monotonic()));
        }
    }

    /// Whether the tabs of this browser can share a stream.
    pub fn can_share(&self) -> bool {
        self.0.is_some() && lock::are_there()
    }
}

/// Waits to be the tab that leads. `at_once`: takes the lead from a tab that does not answer.
pub fn seek_lead(at_once: bool, won: impl FnOnce() + 'static, lost: impl FnOnce() + 'static) {
    lock::hold(NAME, at_once, won, lost);
}

/// Has `then` called if no tab that leads can have answered until then.
pub fn after_silence(then: impl FnOnce() + 'static) {
    set_timeout(then, ANSWERS_WITHIN);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tab_messages_round_trip() {
        let times = Times {
            idle_end: 5_000,
            lifetime_end: 90_000,
            idle_for: 60_000,
            warn_for: 300_000,
        };
        let later = Times {
            idle_end: 105_000,
            lifetime_end: 190_000,
            ..times
        };
        let ended = What::Ended(EndReason::SignedOutEverywhere);
        let other = SessionId(uuid::Uuid::from_u128(2));
        let told = What::Told("sessions_changed".to_owned());
        for (what, heard) in [
            (What::Hello, What::Hello),
            (What::StreamOpened, What::StreamOpened),
            (What::StreamLost, What::StreamLost),
            (told.clone(), told),
            // The clock of the tab that hears is 100 s ahead.
            (What::Live(times), What::Live(later)),
            (ended.clone(), ended),
            (What::EndsHere, What::EndsHere),
            (What::Ends(other), What::Ends(other)),
            (What::SignedIn, What::SignedIn),
        ] {
            let said = Said {
                from: 7,
                session: SessionId(uuid::Uuid::from_u128(1)),
                event_number: 12,
                what,
            };
            let text = said.write(0);
            assert_eq!(
                Said::read(&text, 100_000),
                Some(Said { what: heard, ..said }),
                "{text}"
            );
        }
        for text in [
            "",
            "hello",
            "7 x 12 hello ",
            "7 00000000-0000-0000-0000-000000000001 12 live 1 2",
        ] {
            assert_eq!(Said::read(text, 0), None, "{text}");
        }
    }
}
