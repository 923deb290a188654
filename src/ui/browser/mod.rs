//! The browser's own interfaces. Not to be called while rendering: the server has none of them.

pub mod channel;
pub mod event_stream;
pub mod fetch;
pub mod fragment;
pub mod lock;

use chrono::{DateTime, Utc};
use js_sys::{Array, Date, Function, Object, Reflect};
use leptos::{
    ev::MouseEvent,
    prelude::{document, request_animation_frame, window},
    wasm_bindgen::{JsCast, JsValue, closure::Closure},
    web_sys::{
        Element, Event, EventTarget, HtmlDialogElement, HtmlElement, HtmlInputElement, Node, VisibilityState,
    },
};

use domain::{query::encode_query_value, session::EndReason, theme::Theme};

/// Leaves for another page of the portal with a full load, so that nothing private stays in memory.
pub fn go_to(path: &str) {
    // A browser that refuses leaves the person where they are; there is nothing better to do.
    _ = window().location().assign(path);
}

/// Leaves for sign-in, which says why and brings the person back here.
pub fn go_to_sign_in(reason: EndReason) {
    go_to(&format!(
        "/login?next={}&reason={}",
        encode_query_value(&current_path()),
        reason.as_str()
    ));
}

/// The path and query of the page.
pub fn current_path() -> String {
    let here = window().location();
    here.pathname().unwrap_or_default() + &here.search().unwrap_or_default()
}

fn element<T: JsCast>(id: &str) -> Option<T> {
    document().get_element_by_id(id)?.dyn_into().ok()
}

/// Moves the focus to the element of that id.
pub fn focus(id: &str) {
    if let Some(element) = element::<HtmlElement>(id) {
        _ = element.focus();
    }
}

/// The id of the element that an event is about.
pub fn target_id(event: &Event) -> Option<String> {
    let element: Element = event.target()?.dyn_into().ok()?;
    Some(element.id())
}

/// Gives the focus to the element of that id if nothing has it.
pub fn focus_if_lost(id: &'static str) {
    request_animation_frame(move || {
        let is_lost = document()
            .active_element()
            .is_none_or(|element| element.tag_name() == "BODY");
        if is_lost {
            focus(id);
        }
    });
}

/// The field of that id.
pub fn field(id: &str) -> Option<HtmlInputElement> {
    element(id)
}

/// What was typed into a field.
pub fn field_value(id: &str) -> String {
    field(id).map(|field| field.value()).unwrap_or_default()
}

/// Whether something stands in a field of the page that the page did not come with.
pub fn has_unsaved_input() -> bool {
    let find = Reflect::get(&document(), &"querySelectorAll".into()).map(Function::from);
    let fields = find.and_then(|find| find.call1(&document(), &".screen input".into()));
    let is_typed = |field: JsValue| {
        let field = HtmlInputElement::from(field);
        field.value() != field.default_value()
    };
    fields.is_ok_and(|fields| Array::from(&fields).iter().any(is_typed))
}

/// Gives the page another title, and the one that it had.
pub fn set_title(title: &str) -> String {
    let before = document().title();
    document().set_title(title);
    before
}

/// Puts the focus into a field, with what stands in it marked: the next word typed replaces it.
pub fn focus_field(id: &str) {
    if let Some(field) = field(id) {
        _ = field.focus();
        field.select();
    }
}

/// Shows a dialog over the page. False: there is none to show.
pub fn open_dialog(id: &str) -> bool {
    element::<HtmlDialogElement>(id).is_some_and(|dialog| dialog.show_modal().is_ok())
}

/// Closes a dialog; the focus goes back to where it was.
pub fn close_dialog(id: &str) {
    if let Some(dialog) = element::<HtmlDialogElement>(id) {
        dialog.close();
    }
}

/// Closes a menu, a `<details>`.
pub fn close_menu(id: &str) {
    if let Some(menu) = element::<HtmlElement>(id) {
        // It fails for names that no attribute can have.
        _ = menu.remove_attribute("open");
    }
}

/// Whether something happened in the element of that id.
pub fn is_within(event: &Event, id: &str) -> bool {
    let target = event.target().and_then(|target| target.dyn_into::<Node>().ok());
    element::<Node>(id).is_some_and(|element| element.contains(target.as_ref()))
}

/// The same once the page shows what was just changed.
pub fn focus_next_frame(id: &'static str) {
    request_animation_frame(move || focus(id));
}

/// Drops the second click of a double click, by the browser's own count: it was not meant for whatever has moved up
/// under the pointer since the first.
pub fn drop_second_click(event: &MouseEvent) {
    if event.detail() > 1 {
        event.prevent_default();
    }
}

/// Milliseconds on the browser's clock. Good for differences only.
pub fn wall_clock_ms() -> f64 {
    Date::now()
}

/// Milliseconds on a clock that only goes forward, from some moment on.
pub fn monotonic_ms() -> i64 {
    let since = window()
        .performance()
        .map_or_else(wall_clock_ms, |clock| clock.now());
    #[expect(clippy::cast_possible_truncation, reason = "a page is not open for that long")]
    let since = since as i64;
    since
}

/// A random number from 0 to 1. Not for secrets.
pub fn random() -> f64 {
    js_sys::Math::random()
}

/// Takes what the server sent along with the page, for the script to begin with, out of the document and its memory.
pub fn remove_embedded_data() {
    while let Ok(Some(script)) = document().query_selector("script:not([src])") {
        script.remove();
    }
    // The framework's name for it.
    _ = Reflect::set(&window(), &"__RESOLVED_RESOURCES".into(), &Array::new());
}

/// Whether somebody may see the page: its tab is in front.
pub fn is_visible() -> bool {
    document().visibility_state() == VisibilityState::Visible
}

/// False where the browser knows that it has no network.
pub fn is_online() -> bool {
    window().navigator().on_line()
}

/// A text in a JSON object, by its name.
pub fn json_text(object: &str, name: &str) -> Option<String> {
    let object = js_sys::JSON::parse(object).ok()?;
    Reflect::get(&object, &name.into()).ok()?.as_string()
}

/// A count in a JSON object, by its name. 0: there is none.
pub fn json_count(object: &str, name: &str) -> u32 {
    let object = js_sys::JSON::parse(object).ok();
    let number = object.and_then(|object| Reflect::get(&object, &name.into()).ok()?.as_f64());
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a count of the server's; what is out of range is held within it"
    )]
    let count = number.unwrap_or_default() as u32;
    count
}

/// Has `handler` called for every such event on the document or on its window, before the page's own handlers, for as
/// long as the page is there.
pub fn listen(to: ListenTarget, kind: &str, handler: impl FnMut(Event) + 'static) {
    let target: EventTarget = match to {
        ListenTarget::Document => document().into(),
        ListenTarget::Window => window().into(),
    };
    let handler = Closure::<dyn FnMut(Event)>::new(handler).into_js_value();
    // It fails for targets that are gone only.
    _ = target.add_event_listener_with_callback_and_bool(kind, handler.unchecked_ref(), true);
}

/// Where events are listened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenTarget {
    Document,
    Window,
}

/// Whether the browser keeps a page that is left, or shows it again out of its memory: by its `pagehide` and `pageshow`
/// events.
pub fn is_persisted(event: &Event) -> bool {
    Reflect::get(event, &"persisted".into()).is_ok_and(|persisted| persisted.is_truthy())
}

/// Hides whatever is private on the page, or shows it again. At once: a page that is put away renders nothing more.
pub fn set_covered(covers: bool) {
    if let Some(body) = document().body() {
        // It fails for names that no attribute can have.
        _ = body.toggle_attribute_with_force("data-covered", covers);
    }
}

/// Where the form of a submit event is sent to: its path.
pub fn form_action(event: &Event) -> Option<String> {
    let form: Element = event.target()?.dyn_into().ok()?;
    form.get_attribute("action")
}

/// A time in the person's own zone: "Fri, 20 Nov, 17:42".
pub fn local_time(time: DateTime<Utc>) -> String {
    format_local(
        time,
        &[("weekday", "short"), ("day", "numeric"), ("month", "short")],
    )
}

/// A time in the person's own zone, with everything: "Friday, 20 November 2026, 17:42".
pub fn exact_local_time(time: DateTime<Utc>) -> String {
    format_local(
        time,
        &[
            ("weekday", "long"),
            ("day", "numeric"),
            ("month", "long"),
            ("year", "numeric"),
        ],
    )
}

fn format_local(time: DateTime<Utc>, fields: &[(&str, &str)]) -> String {
    let options = Object::new();
    for (name, value) in fields.iter().chain(&[("hour", "2-digit"), ("minute", "2-digit")]) {
        // Setting a field of a plain object does not fail.
        _ = Reflect::set(&options, &(*name).into(), &(*value).into());
    }
    #[expect(
        clippy::cast_precision_loss,
        reason = "milliseconds since 1970 fit a double until the year 287396"
    )]
    let date = Date::new(&(time.timestamp_millis() as f64).into());
    // The words around it are English, whatever the browser's language.
    date.to_locale_string("en-GB", &options).into()
}

/// Shows the page in that theme from now on.
pub fn show_theme(theme: Theme) {
    if let Some(html) = document().document_element() {
        _ = match theme.attribute() {
            Some(value) => html.set_attribute("data-theme", value),
            None => html.remove_attribute("data-theme"),
        };
    }
}
