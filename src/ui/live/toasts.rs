//! What is said in passing, in one place of the page. Never the only trace of an error.

use std::time::Duration;

use leptos::prelude::*;

use crate::ui::components::notice::Tone;

/// A message goes by itself after this time. Errors and warnings stay until they are dismissed.
const DISMISS_AFTER: Duration = Duration::from_secs(8);

/// So many are shown; the oldest go first.
const MAX_TOASTS: usize = 4;

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Toast {
    /// Tells it from the others.
    pub number: u32,
    pub tone: Tone,
    pub text: String,
}

/// The messages of the page. In the context of every page behind sign-in.
#[derive(Clone, Copy, Debug)]
pub struct Toasts {
    list: RwSignal<Vec<Toast>>,
    next: StoredValue<u32>,
    /// Somebody points at one or has the focus in it: none goes by itself meanwhile.
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
    /// Says something. What is there already is not said twice.
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
            // So is the page.
            None => {}
        };
        set_timeout(goes, DISMISS_AFTER);
    }

    pub fn dismiss(self, number: u32) {
        self.list
            .update(|list| list.retain(|toast| toast.number != number));
    }

    /// They may tell of what is nobody's to read any more.
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
