//! The event stream, in the leading tab.

use std::time::Duration;

use leptos::prelude::set_timeout;

use super::SessionMonitor;
use domain::{session::EndReason, state_machine::Input};

use crate::ui::{
    browser::{
        self,
        event_stream::{EventStream, StreamUpdate},
    },
    live::tabs::TabEvent,
};

const STREAM: &str = "/api/v1/session/events";

const UPDATED: &str = "session_updated";
const ENDED: &str = "session_ended";
const SESSIONS_CHANGED: &str = "sessions_changed";
const ORGANIZATION_SWITCHED: &str = "organization_switched";
/// Keeps the stream alive.
const HEARTBEAT: &str = "heartbeat";

/// A change of the session may rotate its cookie. The new cookie arrives shortly after the event.
const COOKIE_DELAY: Duration = Duration::from_millis(150);

impl SessionMonitor {
    pub(super) fn open_stream(self) {
        let Some(after) = self.with_inner(|inner| inner.event_number) else {
            return;
        };
        let url = format!("{STREAM}?after={after}");
        let kinds = [UPDATED, ENDED, SESSIONS_CHANGED, ORGANIZATION_SWITCHED, HEARTBEAT];
        let stream = EventStream::open(&url, &kinds, move |update| self.handle_stream_update(update));
        self.with_inner(|inner| inner.stream = stream);
    }

    pub(super) fn handle_stream_update(self, update: StreamUpdate) {
        match update {
            StreamUpdate::Opened => {
                self.with_inner(|inner| inner.stream_is_open = true);
                self.broadcast(TabEvent::StreamOpened);
                self.handle(Input::StreamOpened);
            }
            StreamUpdate::Lost => {
                self.with_inner(|inner| {
                    inner.stream = None;
                    inner.stream_is_open = false;
                });
                self.broadcast(TabEvent::StreamLost);
                self.handle(Input::StreamLost { is_own: true });
            }
            StreamUpdate::Event { kind, number, data } => {
                self.with_inner(|inner| {
                    inner.event_number = inner.event_number.max(number.unwrap_or_default())
                });
                if kind == ENDED {
                    self.handle_session_ended(&data);
                } else {
                    self.broadcast(TabEvent::StreamEvent(kind.to_owned()));
                    self.handle_event(kind);
                }
            }
        }
    }

    pub(super) fn handle_session_ended(self, data: &str) {
        let session = browser::json_text(data, "session_id").and_then(|id| id.parse().ok());
        let reason = browser::json_text(data, "reason").and_then(|reason| reason.parse().ok());
        // The event may be about an earlier session.
        if self.with_inner(|inner| Some(inner.session) == session) == Some(true) {
            let reason = reason.unwrap_or(EndReason::Unknown);
            self.broadcast(TabEvent::Ended(reason));
            self.handle(Input::SessionEnded(reason));
        }
    }

    /// Processes an event of this tab's or the leader's stream.
    pub(super) fn handle_event(self, kind: &str) {
        match kind {
            UPDATED => self.handle_later(Input::SessionUpdated),
            SESSIONS_CHANGED => self.handle(Input::SessionsChanged),
            ORGANIZATION_SWITCHED => self.handle_later(Input::OrganizationSwitched),
            HEARTBEAT => self.handle(Input::StreamHeartbeat),
            _ => {}
        }
    }

    /// Sends an input after a delay, so that the tab that caused the change has received its new cookie.
    pub(super) fn handle_later(self, input: Input) {
        set_timeout(move || self.handle(input), COOKIE_DELAY);
    }
}
