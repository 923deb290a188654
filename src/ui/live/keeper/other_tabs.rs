//! What this tab and the others of the browser tell each other, and which of them leads.

use super::Keeper;
use domain::{
    ids::SessionId,
    state_machine::{ENDS_WITHIN, Event},
};

use crate::ui::{
    browser,
    live::tabs::{self, Said, What},
};

impl Keeper {
    pub(super) fn seek_lead(self, at_once: bool) {
        let won = move || {
            self.change(|inner| inner.leads = true);
            self.happens(Event::Leads);
        };
        let lost = move || {
            self.change(|inner| inner.leads = false);
            self.happens(Event::Follows);
            self.seek_lead(false);
        };
        tabs::seek_lead(at_once, won, lost);
    }

    /// Takes the lead if the tab that has it does not answer: it may be frozen, and hear nothing.
    pub(super) fn ask_for_leader(self) {
        let asked = browser::monotonic();
        self.say(What::Hello);
        tabs::after_silence(move || {
            let is_silent =
                self.change(|inner| !inner.leads && inner.leader_heard.is_none_or(|heard| heard < asked));
            if is_silent == Some(true) && browser::is_visible() {
                self.seek_lead(true);
            }
        });
    }

    pub(super) fn leads_while_visible(self) {
        if browser::is_visible() {
            self.happens(Event::Leads);
        } else {
            self.happens(Event::Follows);
        }
    }

    pub(super) fn say(self, what: What) {
        self.change(|inner| {
            inner.tabs.say(&Said {
                from: inner.tab,
                session: inner.session,
                event_number: inner.event_number,
                what,
            });
        });
    }

    pub(super) fn hears(self, said: Said) {
        let Some(is_ours) = self.change(|inner| {
            let leads = matches!(said.what, What::StreamOpened | What::StreamLost | What::Told(_));
            if leads {
                inner.leader_heard = Some(browser::monotonic());
            }
            inner.session == said.session
        }) else {
            return;
        };
        if self.change(|inner| inner.tab == said.from) == Some(true) {
            return;
        }
        match said.what {
            What::Hello => self.answer_hello(),
            What::SignedIn => self.happens(Event::HeardOther),
            // A session that this tab does not know (yet).
            What::Live(_) if !is_ours => self.happens(Event::HeardOther),
            _ if !is_ours => {}
            What::StreamOpened => {
                self.happens(Event::StreamOpened);
                self.catch_up(said.event_number);
            }
            What::StreamLost => self.happens(Event::StreamLost { own: false }),
            What::Told(kind) => {
                self.change(|inner| inner.event_number = inner.event_number.max(said.event_number));
                self.event(&kind);
            }
            What::Live(times) => self.happens(Event::HeardLive(times)),
            What::Ended(reason) => self.happens(Event::ToldEnded(reason)),
            What::EndsHere => self.happens(Event::EndsHere),
            What::Ends(session) => self.notes_end(session),
        }
    }

    /// The person ends other sessions in this browser, and need not be told of it by the list.
    pub fn ends(self, sessions: &[SessionId]) {
        for session in sessions {
            self.notes_end(*session);
            self.say(What::Ends(*session));
        }
    }

    fn notes_end(self, session: SessionId) {
        self.change(|inner| inner.ends.push((session, browser::monotonic())));
    }

    /// Whether the person has just ended that session, in whichever tab of this browser.
    pub fn has_just_ended(self, session: SessionId) -> bool {
        let since = browser::monotonic() - ENDS_WITHIN;
        self.change(|inner| {
            inner
                .ends
                .iter()
                .any(|(ended, at)| *ended == session && *at >= since)
        }) == Some(true)
    }

    /// The stream begins at this number: what this tab was not told before, it is not told any more.
    fn catch_up(self, number: i64) {
        let has_missed = self.change(|inner| std::mem::replace(&mut inner.event_number, number) < number);
        if has_missed == Some(true) {
            self.happens(Event::ToldUpdated);
            self.happens(Event::ToldOrganizationSwitched);
        }
    }

    pub(super) fn answer_hello(self) {
        let stream = self
            .change(|inner| {
                inner
                    .leads
                    .then_some(inner.stream.is_some() && inner.stream_is_open)
            })
            .flatten();
        match stream {
            Some(true) => self.say(What::StreamOpened),
            Some(false) => self.say(What::StreamLost),
            None => {}
        }
    }
}
