//! A lock that one tab of this browser holds at a time (Web Locks). If that tab is closed or crashes, the browser
//! gives it to the next tab.

use std::{cell::Cell, rc::Rc};

use js_sys::{Function, Object, Promise, Reflect};
use leptos::{
    prelude::window,
    task::spawn_local,
    wasm_bindgen::{JsCast, JsValue, closure::Closure},
};
use wasm_bindgen_futures::JsFuture;

/// Whether the browser supports locks. It does not on pages over plain HTTP from another machine.
pub fn is_supported() -> bool {
    locks().is_some()
}

/// Waits for the lock and holds it until the tab is closed. `steal` takes it from the current holder.
///
/// `on_acquired` runs when this tab gets the lock, `on_lost` when another tab takes it afterwards.
pub fn acquire(
    name: &str,
    steal: bool,
    on_acquired: impl FnOnce() + 'static,
    on_lost: impl FnOnce() + 'static,
) {
    let is_won = Rc::new(Cell::new(false));
    let wins = {
        let is_won = is_won.clone();
        move || {
            is_won.set(true);
            on_acquired();
        }
    };
    let Some(asked) = locks().and_then(|locks| ask(&locks, name, steal, wins)) else {
        return;
    };
    spawn_local(async move {
        // The promise of a held lock settles only when the lock is stolen. It is rejected where locks are not allowed.
        _ = JsFuture::from(asked).await;
        if is_won.get() {
            on_lost();
        }
    });
}

fn locks() -> Option<JsValue> {
    let locks = Reflect::get(&window().navigator(), &"locks".into()).ok()?;
    locks.is_object().then_some(locks)
}

fn ask(locks: &JsValue, name: &str, steal: bool, on_acquired: impl FnOnce() + 'static) -> Option<Promise> {
    let request: Function = Reflect::get(locks, &"request".into()).ok()?.dyn_into().ok()?;
    let options = Object::new();
    Reflect::set(&options, &"steal".into(), &steal.into()).ok()?;
    let holds = Closure::once_into_js(move |_: JsValue| {
        on_acquired();
        // Never settles, so the lock is held until the tab is closed.
        Promise::new(&mut |_, _| {})
    });
    let asked = request.call3(locks, &name.into(), &options, &holds).ok()?;
    asked.dyn_into().ok()
}
