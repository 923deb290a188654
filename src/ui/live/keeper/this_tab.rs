//! What happens to the tab itself: it is looked at, the network comes and goes, a form is sent.

use domain::state_machine::Event;

use super::{Keeper, is_kept};
use crate::ui::{
    browser::{self, Listened},
    components::notice::Tone,
};

/// Forms that are sent whatever is known of the session.
const SENT_ANYWAY: [&str; 2] = ["/api/sign_in", "/api/choose_theme"];

impl Keeper {
    pub(super) fn listen(self) {
        let looks = move || {
            let can_share = self.change(|inner| inner.tabs.can_share()) == Some(true);
            if !can_share {
                self.leads_while_visible();
            }
            if browser::is_visible() {
                self.happens(Event::BecameVisible);
                if can_share {
                    self.ask_for_leader();
                }
            } else {
                self.happens(Event::BecameHidden);
            }
        };
        browser::listen(Listened::Document, "visibilitychange", move |_| looks());
        // Thawed, or brought back from the browser's memory.
        browser::listen(Listened::Document, "resume", move |_| looks());
        // A page that the browser may keep: it is not to show later what was anybody's now.
        browser::listen(Listened::Window, "pagehide", move |event| {
            if browser::is_kept_in_memory(&event) {
                browser::cover(true);
            }
        });
        browser::listen(Listened::Window, "pageshow", move |event| {
            if browser::is_kept_in_memory(&event) {
                looks();
                // Not before the answer.
                self.change(|inner| inner.is_covered = true);
                self.settle();
            }
        });
        browser::listen(Listened::Window, "online", move |_| {
            self.happens(Event::CameOnline)
        });
        browser::listen(Listened::Window, "offline", move |_| {
            self.happens(Event::WentOffline)
        });
        browser::listen(Listened::Document, "submit", move |event| {
            let is_sent = !is_kept()
                || self.may_act_now()
                || browser::form_action(&event).is_some_and(|path| SENT_ANYWAY.contains(&path.as_str()));
            if !is_sent {
                event.prevent_default();
                event.stop_immediate_propagation();
                // The end is told over the page, and a message would come to light when it is gone.
                if self.is_unreachable_now() {
                    let text = "Nothing was sent: the portal cannot be reached right now.";
                    self.toasts.say(Tone::Warning, text);
                }
            }
        });
    }
}
