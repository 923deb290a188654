//! Messages to the other tabs of this browser.

use leptos::{
    wasm_bindgen::{JsCast, closure::Closure},
    web_sys::{BroadcastChannel, MessageEvent},
};

/// A channel (`BroadcastChannel`) that all tabs of the portal share. Closed when dropped.
pub struct Channel {
    channel: BroadcastChannel,
    _on_message: Closure<dyn FnMut(MessageEvent)>,
}

impl Channel {
    /// `on_message` gets the messages of other tabs, never this tab's own. `None`: the browser does not support
    /// channels.
    pub fn open(name: &str, on_message: impl Fn(String) + 'static) -> Option<Self> {
        let channel = BroadcastChannel::new(name).ok()?;
        let on_message = Closure::<dyn FnMut(MessageEvent)>::new(move |event: MessageEvent| {
            if let Some(text) = event.data().as_string() {
                on_message(text);
            }
        });
        channel.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        Some(Self {
            channel,
            _on_message: on_message,
        })
    }

    pub fn post(&self, text: &str) {
        // Fails only for values that cannot be cloned; text can.
        _ = self.channel.post_message(&text.into());
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        self.channel.set_onmessage(None);
        self.channel.close();
    }
}
