//! Talking to the other tabs of this browser.

use leptos::{
    wasm_bindgen::{JsCast, closure::Closure},
    web_sys::{BroadcastChannel, MessageEvent},
};

/// A channel on which every open tab of the portal hears what another says. Closed when dropped.
pub struct Channel {
    channel: BroadcastChannel,
    _on_message: Closure<dyn FnMut(MessageEvent)>,
}

impl Channel {
    /// `on_message` gets what other tabs say, never what this one does. `None`: the browser has no such thing.
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
        // It fails only for what cannot be copied, and text can.
        _ = self.channel.post_message(&text.into());
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        self.channel.set_onmessage(None);
        self.channel.close();
    }
}
