//! Server-sent events.

use std::{cell::Cell, rc::Rc};

use leptos::{
    wasm_bindgen::{JsCast, closure::Closure},
    web_sys::{Event, EventSource, MessageEvent},
};

/// An event stream from the server. Closed when dropped.
pub struct EventStream {
    source: EventSource,
    _listeners: Vec<Closure<dyn FnMut(Event)>>,
}

/// What happens to a stream.
pub enum StreamUpdate {
    Opened,
    /// An event of one of the requested kinds.
    Event {
        kind: &'static str,
        number: Option<i64>,
        data: String,
    },
    /// The stream is closed and sends no more updates. The caller decides when to open another.
    Lost,
}

impl EventStream {
    /// `None`: the browser does not support event streams.
    pub fn open(
        url: &str,
        kinds: &[&'static str],
        on_update: impl Fn(StreamUpdate) + 'static,
    ) -> Option<Self> {
        let source = EventSource::new(url).ok()?;
        let is_lost = Rc::new(Cell::new(false));
        let on_update = Rc::new(move |update: StreamUpdate| {
            if !is_lost.replace(is_lost.get() || matches!(update, StreamUpdate::Lost)) {
                on_update(update);
            }
        });
        let opened = {
            let on_update = on_update.clone();
            listener(move |_| on_update(StreamUpdate::Opened))
        };
        source.set_onopen(Some(opened.as_ref().unchecked_ref()));
        let lost = {
            let (on_update, source) = (on_update.clone(), source.clone());
            listener(move |_| {
                source.close();
                on_update(StreamUpdate::Lost);
            })
        };
        source.set_onerror(Some(lost.as_ref().unchecked_ref()));
        let mut listeners = vec![opened, lost];
        for kind in kinds {
            let (kind, on_update) = (*kind, on_update.clone());
            let handler = listener(move |event| {
                if let Ok(message) = event.dyn_into::<MessageEvent>() {
                    on_update(StreamUpdate::Event {
                        kind,
                        number: message.last_event_id().parse().ok(),
                        data: message.data().as_string().unwrap_or_default(),
                    });
                }
            });
            // Fails only if the target is gone.
            _ = source.add_event_listener_with_callback(kind, handler.as_ref().unchecked_ref());
            listeners.push(handler);
        }
        Some(Self {
            source,
            _listeners: listeners,
        })
    }
}

impl Drop for EventStream {
    fn drop(&mut self) {
        self.source.close();
    }
}

fn listener(handler: impl FnMut(Event) + 'static) -> Closure<dyn FnMut(Event)> {
    Closure::new(handler)
}
