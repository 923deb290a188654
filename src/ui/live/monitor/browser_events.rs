//! Events of the tab itself: visibility, network, submitted forms.

use domain::state_machine::Input;

use super::{SessionMonitor, is_running};
use crate::elements::notice::Tone;
use crate::ui::browser::{self, ListenTarget};

/// Forms that are sent in every state.
const SENT_ANYWAY: [&str; 2] = ["/api/sign_in", "/api/choose_theme"];

impl SessionMonitor {
    pub(super) fn listen(self) {
        let looks = move || {
            let can_share_stream = self.with_inner(|inner| inner.tabs.can_share_stream()) == Some(true);
            if !can_share_stream {
                self.lead_while_visible();
            }
            if browser::is_visible() {
                self.handle(Input::BecameVisible);
                if can_share_stream {
                    self.probe_leader();
                }
            } else {
                self.handle(Input::BecameHidden);
            }
        };
        browser::listen(ListenTarget::Document, "visibilitychange", move |_| looks());
        // The page was frozen, or comes from the back/forward cache.
        browser::listen(ListenTarget::Document, "resume", move |_| looks());
        // A page in the back/forward cache must not show private data later.
        browser::listen(ListenTarget::Window, "pagehide", move |event| {
            if browser::is_persisted(&event) {
                browser::set_covered(true);
            }
        });
        browser::listen(ListenTarget::Window, "pageshow", move |event| {
            if browser::is_persisted(&event) {
                looks();
                // Uncover after the check.
                self.with_inner(|inner| inner.is_covered = true);
                self.publish_view();
            }
        });
        browser::listen(ListenTarget::Window, "online", move |_| {
            self.handle(Input::CameOnline)
        });
        browser::listen(ListenTarget::Window, "offline", move |_| {
            self.handle(Input::WentOffline)
        });
        browser::listen(ListenTarget::Document, "submit", move |event| {
            let is_sent = !is_running()
                || self.can_act_now()
                || browser::form_action(&event).is_some_and(|path| SENT_ANYWAY.contains(&path.as_str()));
            if !is_sent {
                event.prevent_default();
                event.stop_immediate_propagation();
                // After the end of the session a dialog covers the page, and a toast would appear after it.
                if self.is_unreachable_now() {
                    let text = "Nothing was sent: the portal cannot be reached right now.";
                    self.toasts.show(Tone::Warning, text);
                }
            }
        });
    }
}
