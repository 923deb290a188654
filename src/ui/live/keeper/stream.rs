//! The stream of events, where this tab is the one that keeps it.

use std::time::Duration;

use leptos::prelude::set_timeout;

use super::Keeper;
use domain::{session::EndReason, state_machine::Event};

use crate::ui::{
    browser::{
        self,
        event_stream::{EventStream, Told},
    },
    live::tabs::What,
};

const STREAM: &str = "/api/v1/session/events";

const UPDATED: &str = "session_updated";
const ENDED: &str = "session_ended";
const SESSIONS_CHANGED: &str = "sessions_changed";
const ORGANIZATION_SWITCHED: &str = "organization_switched";
/// The stream is still there.
const HEARTBEAT: &str = "heartbeat";

/// What changes a session may change its cookie, which is known a moment after the event.
const SETTLES: Duration = Duration::from_millis(150);

impl Keeper {
    pub(super) fn open_stream(self) {
        let Some(after) = self.change(|inner| inner.event_number) else {
            return;
        };
        let url = format!("{STREAM}?after={after}");
        let kinds = [UPDATED, ENDED, SESSIONS_CHANGED, ORGANIZATION_SWITCHED, HEARTBEAT];
        let stream = EventStream::open(&url, &kinds, move |told| self.told(told));
        self.change(|inner| inner.stream = stream);
    }

    pub(super) fn told(self, told: Told) {
        match told {
            Told::Opened => {
                self.change(|inner| inner.stream_is_open = true);
                self.say(What::StreamOpened);
                self.happens(Event::StreamOpened);
            }
            Told::Lost => {
                self.change(|inner| {
                    inner.stream = None;
                    inner.stream_is_open = false;
                });
                self.say(What::StreamLost);
                self.happens(Event::StreamLost { own: true });
            }
            Told::Event { kind, number, data } => {
                self.change(|inner| inner.event_number = inner.event_number.max(number.unwrap_or_default()));
                if kind == ENDED {
                    self.is_told_of_end(&data);
                } else {
                    self.say(What::Told(kind.to_owned()));
                    self.event(kind);
                }
            }
        }
    }

    pub(super) fn is_told_of_end(self, data: &str) {
        let session = browser::json_text(data, "session_id").and_then(|id| id.parse().ok());
        let reason = browser::json_text(data, "reason").and_then(|reason| reason.parse().ok());
        // Of a session before this one, perhaps.
        if self.change(|inner| Some(inner.session) == session) == Some(true) {
            let reason = reason.unwrap_or(EndReason::Unknown);
            self.say(What::Ended(reason));
            self.happens(Event::ToldEnded(reason));
        }
    }

    /// Does what the stream told, here or in the tab that leads.
    pub(super) fn event(self, kind: &str) {
        match kind {
            UPDATED => self.soon(Event::ToldUpdated),
            SESSIONS_CHANGED => self.happens(Event::ToldSessionsChanged),
            ORGANIZATION_SWITCHED => self.soon(Event::ToldOrganizationSwitched),
            HEARTBEAT => self.happens(Event::StreamBeats),
            _ => {}
        }
    }

    /// The same once the tab that caused it has its answer, and with it the cookie that this may have changed.
    pub(super) fn soon(self, event: Event) {
        set_timeout(move || self.happens(event), SETTLES);
    }
}
