//! Server-sent events.

use std::{cell::Cell, rc::Rc};

use leptos::{
    wasm_bindgen::{JsCast, closure::Closure},
    web_sys::{Event, EventSource, MessageEvent},
};

/// A stream of events from the server. Closed when dropped.
pub struct EventStream {
    source: EventSource,
    _listeners: Vec<Closure<dyn FnMut(Event)>>,
}

/// What a stream tells.
pub enum Told {
    Opened,
    /// An event of one of the kinds that were asked for.
    Event {
        kind: &'static str,
        number: Option<i64>,
        data: String,
    },
    /// It is over, for whatever reason, and tells nothing more. When to open another is for whoever opened it to say.
    Lost,
}

impl EventStream {
    /// `None`: the browser has no such thing.
    pub fn open(url: &str, kinds: &[&'static str], tells: impl Fn(Told) + 'static) -> Option<Self> {
        let source = EventSource::new(url).ok()?;
        let is_lost = Rc::new(Cell::new(false));
        let tells = Rc::new(move |told: Told| {
            if !is_lost.replace(is_lost.get() || matches!(told, Told::Lost)) {
                tells(told);
            }
        });
        let opened = {
            let tells = tells.clone();
            listener(move |_| tells(Told::Opened))
        };
        source.set_onopen(Some(opened.as_ref().unchecked_ref()));
        let lost = {
            let (tells, source) = (tells.clone(), source.clone());
            listener(move |_| {
                source.close();
                tells(Told::Lost);
            })
        };
        source.set_onerror(Some(lost.as_ref().unchecked_ref()));
        let mut listeners = vec![opened, lost];
        for kind in kinds {
            let (kind, tells) = (*kind, tells.clone());
            let hears = listener(move |event| {
                if let Ok(message) = event.dyn_into::<MessageEvent>() {
                    tells(Told::Event {
                        kind,
                        number: message.last_event_id().parse().ok(),
                        data: message.data().as_string().unwrap_or_default(),
                    });
                }
            });
            // It fails for targets that are gone only.
            _ = source.add_event_listener_with_callback(kind, hears.as_ref().unchecked_ref());
            listeners.push(hears);
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

fn listener(hears: impl FnMut(Event) + 'static) -> Closure<dyn FnMut(Event)> {
    Closure::new(hears)
}
