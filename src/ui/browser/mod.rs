//! Browser interfaces. Never call them while rendering: the server has none of them.

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

/// Loads another page of the portal completely, so that no private data stays in memory.
pub fn go_to(path: &str) {
    // If the browser refuses, the user stays on the page.
    _ = window().location().assign(path);
}

/// Navigates to sign-in, which shows the reason and returns here afterwards.
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

/// Focuses the element with this id.
pub fn focus(id: &str) {
    if let Some(element) = element::<HtmlElement>(id) {
        _ = element.focus();
    }
}

/// The id of the event's target.
pub fn target_id(event: &Event) -> Option<String> {
    let element: Element = event.target()?.dyn_into().ok()?;
    Some(element.id())
}

/// Focuses the element with this id if no element has the focus.
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

/// The input with this id.
pub fn field(id: &str) -> Option<HtmlInputElement> {
    element(id)
}

/// The value of the input with this id.
pub fn field_value(id: &str) -> String {
    field(id).map(|field| field.value()).unwrap_or_default()
}

/// Whether an input of the page differs from its initial value.
pub fn has_unsaved_input() -> bool {
    let find = Reflect::get(&document(), &"querySelectorAll".into()).map(Function::from);
    let fields = find.and_then(|find| find.call1(&document(), &".screen input".into()));
    let is_typed = |field: JsValue| {
        let field = HtmlInputElement::from(field);
        field.value() != field.default_value()
    };
    fields.is_ok_and(|fields| Array::from(&fields).iter().any(is_typed))
}

/// Sets the title and returns the previous one.
pub fn set_title(title: &str) -> String {
    let before = document().title();
    document().set_title(title);
    before
}

/// Focuses an input and selects its text, so that typing replaces it.
pub fn focus_field(id: &str) {
    if let Some(field) = field(id) {
        _ = field.focus();
        field.select();
    }
}

/// Opens a modal dialog. Returns false if that is not possible.
pub fn open_dialog(id: &str) -> bool {
    element::<HtmlDialogElement>(id).is_some_and(|dialog| dialog.show_modal().is_ok())
}

/// Closes a dialog. The browser restores the focus.
pub fn close_dialog(id: &str) {
    if let Some(dialog) = element::<HtmlDialogElement>(id) {
        dialog.close();
    }
}

/// Closes a menu, a `<details>`.
pub fn close_menu(id: &str) {
    if let Some(menu) = element::<HtmlElement>(id) {
        // Fails only for invalid attribute names.
        _ = menu.remove_attribute("open");
    }
}

/// Whether the event happened within the element with this id.
pub fn is_within(event: &Event, id: &str) -> bool {
    let target = event.target().and_then(|target| target.dyn_into::<Node>().ok());
    element::<Node>(id).is_some_and(|element| element.contains(target.as_ref()))
}

/// Focuses the element after the next rendering.
pub fn focus_next_frame(id: &'static str) {
    request_animation_frame(move || focus(id));
}

/// Ignores the second click of a double click. It may hit another element that moved under the pointer.
pub fn drop_second_click(event: &MouseEvent) {
    if event.detail() > 1 {
        event.prevent_default();
    }
}

/// Milliseconds on the browser's wall clock. For differences only.
pub fn wall_clock_ms() -> f64 {
    Date::now()
}

/// Milliseconds on a monotonic clock.
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

/// Removes the page data that the server embedded for hydration from the document and from memory.
pub fn remove_embedded_data() {
    while let Ok(Some(script)) = document().query_selector("script:not([src])") {
        script.remove();
    }
    // The framework's name for it.
    _ = Reflect::set(&window(), &"__RESOLVED_RESOURCES".into(), &Array::new());
}

/// Whether the tab is in the foreground.
pub fn is_visible() -> bool {
    document().visibility_state() == VisibilityState::Visible
}

/// False if the browser knows that there is no network.
pub fn is_online() -> bool {
    window().navigator().on_line()
}

/// A text field of a JSON object.
pub fn json_text(object: &str, name: &str) -> Option<String> {
    let object = js_sys::JSON::parse(object).ok()?;
    Reflect::get(&object, &name.into()).ok()?.as_string()
}

/// A number field of a JSON object. 0 if it is missing.
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

/// Calls `handler` for all events of this kind on the document or window, before the page's own handlers, as long as
/// the page exists.
pub fn listen(to: ListenTarget, kind: &str, handler: impl FnMut(Event) + 'static) {
    let target: EventTarget = match to {
        ListenTarget::Document => document().into(),
        ListenTarget::Window => window().into(),
    };
    let handler = Closure::<dyn FnMut(Event)>::new(handler).into_js_value();
    // Fails only if the target is gone.
    _ = target.add_event_listener_with_callback_and_bool(kind, handler.unchecked_ref(), true);
}

/// The target of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenTarget {
    Document,
    Window,
}

/// Whether a `pagehide` or `pageshow` event is about a page in the back/forward cache.
pub fn is_persisted(event: &Event) -> bool {
    Reflect::get(event, &"persisted".into()).is_ok_and(|persisted| persisted.is_truthy())
}

/// Hides or shows the private content. Sets an attribute, because a page in the back/forward cache renders nothing.
pub fn set_covered(covers: bool) {
    if let Some(body) = document().body() {
        // Fails only for invalid attribute names.
        _ = body.toggle_attribute_with_force("data-covered", covers);
    }
}

/// The action of the submitted form.
pub fn form_action(event: &Event) -> Option<String> {
    let form: Element = event.target()?.dyn_into().ok()?;
    form.get_attribute("action")
}

/// Formats a time in the browser's time zone: "Fri, 20 Nov, 17:42".
pub fn local_time(time: DateTime<Utc>) -> String {
    format_local(
        time,
        &[("weekday", "short"), ("day", "numeric"), ("month", "short")],
    )
}

/// Formats a time in the browser's time zone, complete: "Friday, 20 November 2026, 17:42".
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
    // The page is English, whatever the browser's language.
    date.to_locale_string("en-GB", &options).into()
}

/// Applies a theme to the page.
pub fn show_theme(theme: Theme) {
    if let Some(html) = document().document_element() {
        _ = match theme.attribute() {
            Some(value) => html.set_attribute("data-theme", value),
            None => html.remove_attribute("data-theme"),
        };
    }
}
