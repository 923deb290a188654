//! Short messages at the bottom of the page. An error is never shown here alone.

use std::time::Duration;

use leptos::prelude::*;

use crate::elements::notice::Tone;

/// Information and success messages disappear after this time. Errors and warnings stay until dismissed.
const DISMISS_AFTER: Duration = Duration::from_secs(8);

/// The oldest messages disappear first.
const MAX_TOASTS: usize = 4;

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Toast {
    /// Distinguishes messages.
    pub number: u32,
    pub tone: Tone,
    pub text: String,
}

/// The messages of the page. In the context of every page behind sign-in.
#[derive(Clone, Copy, Debug)]
pub struct Toasts {
    list: RwSignal<Vec<Toast>>,
    next: StoredValue<u32>,
    /// A message has the pointer or the focus, so none disappears.
    is_paused: RwSignal<bool>,
}

impl Default for Toasts {
    fn default() -> Self {
        Self {
            list: RwSignal::default(),
            next: StoredValue::new(0),
            is_paused: RwSignal::new(false),
        }
    }
}

impl Toasts {
    /// Shows a message. A message with the same text is replaced.
    pub fn show(self, tone: Tone, text: impl Into<String>) {
        let text = text.into();
        let number = self.next.get_value();
        self.next.set_value(number.wrapping_add(1));
        self.list.update(|list| {
            list.retain(|toast| toast.text != text);
            list.push(Toast { number, tone, text });
            let surplus = list.len().saturating_sub(MAX_TOASTS);
            list.drain(..surplus);
        });
        if matches!(tone, Tone::Info | Tone::Success) {
            self.dismiss_later(number);
        }
    }

    fn dismiss_later(self, number: u32) {
        let goes = move || match self.is_paused.try_get_untracked() {
            Some(true) => self.dismiss_later(number),
            Some(false) => self.dismiss(number),
            // The page is gone.
            None => {}
        };
        set_timeout(goes, DISMISS_AFTER);
    }

    pub fn dismiss(self, number: u32) {
        self.list
            .update(|list| list.retain(|toast| toast.number != number));
    }

    /// Removes all messages. They may contain private data.
    pub fn clear(self) {
        self.list.set(Vec::new());
    }

    pub fn set_paused(self, is_paused: bool) {
        self.is_paused.set(is_paused);
    }

    pub fn list(self) -> Vec<Toast> {
        self.list.get()
    }
}
