//! Messages between this tab and the others, and the choice of the leader.

use super::SessionMonitor;
use domain::{
    ids::SessionId,
    state_machine::{Input, OWN_END_WINDOW},
};

use crate::ui::{
    browser,
    live::tabs::{self, TabEvent, TabMessage},
};

impl SessionMonitor {
    pub(super) fn request_lead(self, at_once: bool) {
        let on_acquired = move || {
            self.with_inner(|inner| inner.is_leader = true);
            self.handle(Input::BecameLeader);
        };
        let on_lost = move || {
            self.with_inner(|inner| inner.is_leader = false);
            self.handle(Input::BecameFollower);
            self.request_lead(false);
        };
        tabs::request_lead(at_once, on_acquired, on_lost);
    }

    /// Takes over the lead if the leader does not respond: it may be frozen.
    pub(super) fn probe_leader(self) {
        let asked = browser::monotonic_ms();
        self.broadcast(TabEvent::Hello);
        tabs::after_leader_timeout(move || {
            let is_silent = self.with_inner(|inner| {
                !inner.is_leader && inner.leader_seen_at.is_none_or(|heard| heard < asked)
            });
            if is_silent == Some(true) && browser::is_visible() {
                self.request_lead(true);
            }
        });
    }

    pub(super) fn lead_while_visible(self) {
        if browser::is_visible() {
            self.handle(Input::BecameLeader);
        } else {
            self.handle(Input::BecameFollower);
        }
    }

    pub(super) fn broadcast(self, event: TabEvent) {
        self.with_inner(|inner| {
            inner.tabs.broadcast(&TabMessage {
                from: inner.tab,
                session: inner.session,
                event_number: inner.event_number,
                event,
            });
        });
    }

    pub(super) fn receive(self, message: TabMessage) {
        let Some(is_ours) = self.with_inner(|inner| {
            let leads = matches!(
                message.event,
                TabEvent::StreamOpened | TabEvent::StreamLost | TabEvent::StreamEvent(_)
            );
            if leads {
                inner.leader_seen_at = Some(browser::monotonic_ms());
            }
            inner.session == message.session
        }) else {
            return;
        };
        if self.with_inner(|inner| inner.tab == message.from) == Some(true) {
            return;
        }
        match message.event {
            TabEvent::Hello => self.answer_hello(),
            TabEvent::SignedIn => self.handle(Input::OtherSessionSeen),
            // This tab may not know that session yet.
            TabEvent::Live(_) if !is_ours => self.handle(Input::OtherSessionSeen),
            _ if !is_ours => {}
            TabEvent::StreamOpened => {
                self.handle(Input::StreamOpened);
                self.catch_up(message.event_number);
            }
            TabEvent::StreamLost => self.handle(Input::StreamLost { is_own: false }),
            TabEvent::StreamEvent(kind) => {
                self.with_inner(|inner| inner.event_number = inner.event_number.max(message.event_number));
                self.handle_event(&kind);
            }
            TabEvent::Live(times) => self.handle(Input::OtherTabLive(times)),
            TabEvent::Ended(reason) => self.handle(Input::SessionEnded(reason)),
            TabEvent::SigningOut => self.handle(Input::OtherTabSigningOut),
            TabEvent::Revoking(session) => self.record_revocation(session),
        }
    }

    /// Announces that this browser revokes other sessions, so that no tab reports their end as news.
    pub fn announce_revocation(self, sessions: &[SessionId]) {
        for session in sessions {
            self.record_revocation(*session);
            self.broadcast(TabEvent::Revoking(*session));
        }
    }

    fn record_revocation(self, session: SessionId) {
        self.with_inner(|inner| inner.revoked.push((session, browser::monotonic_ms())));
    }

    /// Whether a tab of this browser has just revoked that session.
    pub fn has_just_revoked(self, session: SessionId) -> bool {
        let since = browser::monotonic_ms() - OWN_END_WINDOW;
        self.with_inner(|inner| {
            inner
                .revoked
                .iter()
                .any(|(ended, at)| *ended == session && *at >= since)
        }) == Some(true)
    }

    /// The stream continues at this number. This tab may have missed the events before it.
    fn catch_up(self, number: i64) {
        let has_missed = self.with_inner(|inner| std::mem::replace(&mut inner.event_number, number) < number);
        if has_missed == Some(true) {
            self.handle(Input::SessionUpdated);
            self.handle(Input::OrganizationSwitched);
        }
    }

    pub(super) fn answer_hello(self) {
        let stream = self
            .with_inner(|inner| {
                inner
                    .is_leader
                    .then_some(inner.stream.is_some() && inner.stream_is_open)
            })
            .flatten();
        match stream {
            Some(true) => self.broadcast(TabEvent::StreamOpened),
            Some(false) => self.broadcast(TabEvent::StreamLost),
            None => {}
        }
    }
}
