//! Fragments of admin pages: inserts them without losing the focus, and reads their forms and links.

use chrono::{DateTime, Utc};
use js_sys::{Function, Reflect};
use leptos::{
    prelude::{document, window},
    wasm_bindgen::JsCast,
    web_sys::{
        Element, Event, FormData, HtmlDialogElement, HtmlElement, HtmlFormElement, HtmlInputElement,
        UrlSearchParams,
    },
};

use super::{element, exact_local_time, focus, local_time};
use domain::time::parse_rfc3339;

use crate::error::AppError;

/// Replaces the content of the element `place` by `html`, and keeps the focus and the text typed since. `None`: the
/// content is already there.
pub fn replace(place: &str, html: Option<&String>) {
    let Some(place) = element::<Element>(place) else {
        return;
    };
    if let Some(html) = html {
        let before = dialog_opener(&place);
        let focused = document()
            .active_element()
            .filter(|focused| place.contains(Some(focused)));
        let (id, typed) = (
            focused.as_ref().map(Element::id),
            focused.and_then(|focused| focused.dyn_into().ok()),
        );
        let had_focus = id.is_some();
        place.set_inner_html(html);
        let again = id
            .filter(|id| !id.is_empty())
            .and_then(|id| element::<HtmlElement>(&id));
        let now = dialog_opener(&place);
        match (again, before, now) {
            // Focus the part that was opened, or the link that opened the part that is closed.
            (_, before, Some(now)) if before.as_ref() != Some(&now) => focus_first(&place, "[data-focus]"),
            (_, Some(before), None) if element::<HtmlElement>(&before).is_some() => focus(&before),
            // On the next page, start at the top.
            (Some(again), ..) if again.id() == "next-page" => focus_first(&place, "#list-title"),
            (Some(again), ..) => restore_focus(&again, typed),
            (None, _, Some(_)) if had_focus => focus_first(&place, "[data-focus]"),
            (None, ..) if had_focus => focus_first(&place, "#list-title"),
            (None, ..) => {}
        }
    }
    for_each(&place, "time", |time| {
        let at = time.get_attribute("datetime").and_then(|at| parse_rfc3339(&at));
        if let Some(at) = at {
            localize(&time, at);
        }
    });
    for_each(&place, "dialog[data-modal]", |dialog| {
        if let Ok(dialog) = dialog.dyn_into::<HtmlDialogElement>() {
            // Without JavaScript the dialog is part of the page.
            dialog.set_open(false);
            _ = dialog.show_modal();
        }
    });
}

/// The id of the link that opened the open part.
fn dialog_opener(place: &Element) -> Option<String> {
    let open = place.query_selector("[data-focus]").ok().flatten()?;
    open.get_attribute("data-focus")
}

/// Focuses the element and restores typed text and cursor.
fn restore_focus(again: &HtmlElement, typed: Option<HtmlInputElement>) {
    if let (Some(typed), Some(field)) = (typed, again.dyn_ref::<HtmlInputElement>()) {
        field.set_value(&typed.value());
        let start = typed.selection_start().ok().flatten();
        _ = again.focus();
        _ = field.set_selection_start(start);
    } else {
        _ = again.focus();
    }
}

fn focus_first(place: &Element, what: &str) {
    if let Ok(Some(first)) = place.query_selector(what)
        && let Ok(first) = first.dyn_into::<HtmlElement>()
    {
        _ = first.focus();
    }
}

fn localize(time: &Element, at: DateTime<Utc>) {
    _ = time.set_attribute("title", &exact_local_time(at));
    if time.has_attribute("data-exact") {
        time.set_text_content(Some(&local_time(at)));
    }
}

fn for_each(place: &Element, what: &str, mut does: impl FnMut(Element)) {
    if let Ok(found) = place.query_selector_all(what) {
        for at in 0..found.length() {
            if let Some(found) = found.get(at).and_then(|node| node.dyn_into().ok()) {
                does(found);
            }
        }
    }
}

/// Whether a dialog is open, or a form is being edited or was just rejected.
pub fn has_open_form(place: &str) -> bool {
    const ASKING: &str = "dialog[open], form[data-send]:has(input:focus, [data-problem]:not(:empty))";
    element::<Element>(place)
        .and_then(|place| place.query_selector(ASKING).ok().flatten())
        .is_some()
}

/// Whether a refresh would not disturb the user.
pub fn can_refresh(place: &str) -> bool {
    let is_choosing = document()
        .active_element()
        .is_some_and(|focused| focused.tag_name() == "SELECT");
    !has_open_form(place) && !is_choosing
}

/// Closes the open dialog or panel. Returns whether there was one.
pub fn cancel_dialog(place: &str) -> bool {
    let link = element::<Element>(place).and_then(|place| {
        let find = |what: &str| place.query_selector(what).ok().flatten();
        find("dialog[open] [data-cancel]").or_else(|| find("[data-close]"))
    });
    match link.and_then(|link| link.dyn_into::<HtmlElement>().ok()) {
        Some(link) => {
            link.click();
            true
        }
        None => false,
    }
}

fn closest<T: JsCast>(event: &Event, what: &str) -> Option<T> {
    let target: Element = event.target()?.dyn_into().ok()?;
    target.closest(what).ok()??.dyn_into().ok()
}

/// The URL for the filter form of the event.
pub fn filter_url(event: &Event) -> Option<String> {
    let form: HtmlFormElement = closest(event, "form[data-live]")?;
    let query = fields(&form)?;
    let filled: Vec<&str> = query.split('&').filter(|pair| !pair.ends_with('=')).collect();
    Some(format!("{}?{}", form.get_attribute("action")?, filled.join("&")))
}

fn fields(form: &HtmlFormElement) -> Option<String> {
    let data = FormData::new_with_form(form).ok()?;
    // The binding of `URLSearchParams` accepts text only, the browser also `FormData`.
    let query = Reflect::construct(
        &Reflect::get(&window(), &"URLSearchParams".into())
            .ok()?
            .dyn_into::<Function>()
            .ok()?,
        &js_sys::Array::of1(&data),
    )
    .ok()?;
    Some(query.unchecked_into::<UrlSearchParams>().to_string().into())
}

/// Replaces the current URL without scrolling, as a link that the router handles.
pub fn navigate(place: &str) {
    let Some((link, body)) = document().create_element("a").ok().zip(document().body()) else {
        return;
    };
    _ = link.set_attribute("href", place);
    _ = link.set_attribute("data-noscroll", "");
    _ = Reflect::set(&link, &"replace".into(), &true.into());
    // Clicks reach the router in the document only.
    _ = body.append_child(&link);
    if let Some(link) = link.dyn_ref::<HtmlElement>() {
        link.click();
    }
    link.remove();
}

/// A form that is sent in the background.
#[derive(Clone)]
pub struct FragmentForm(HtmlFormElement);

/// The submitted form, if it is one of these.
pub fn submitted_form(event: &Event) -> Option<FragmentForm> {
    closest(event, "form[data-send]").map(FragmentForm)
}

impl FragmentForm {
    pub fn action(&self) -> String {
        self.0.get_attribute("action").unwrap_or_default()
    }

    /// The encoded fields.
    pub fn fields(&self) -> String {
        fields(&self.0).unwrap_or_default()
    }

    /// Shows that the form is being sent. Returns false if it already is.
    pub fn start(&self) -> bool {
        let Some(button) = self.find("button[type=submit]") else {
            return true;
        };
        if button.get_attribute("aria-busy").is_some() {
            return false;
        }
        _ = button.set_attribute("aria-busy", "true");
        self.show_message("");
        true
    }

    /// Ends sending and shows the problem, if any.
    pub fn finish(&self, problem: Option<&AppError>) {
        if let Some(button) = self.find("button[type=submit]") {
            _ = button.remove_attribute("aria-busy");
        }
        if let Some(progress) = self.find("[data-progress]") {
            _ = progress.set_attribute("hidden", "");
        }
        let Some(problem) = problem else { return };
        let words = match problem {
            AppError::InvalidCredentials => "That password is wrong.".to_owned(),
            other => other.message(),
        };
        self.show_message(&words);
        if *problem == AppError::ReauthRequired
            && let Some(password) = self.find("[data-password]")
        {
            _ = password.remove_attribute("hidden");
        }
        if matches!(problem, AppError::ReauthRequired | AppError::InvalidCredentials) {
            focus_first(&self.0, "[data-password] input");
        }
    }

    /// Shows the progress.
    pub fn progress(&self, done: u32, left: u32) {
        let Some(part) = self.find("[data-progress]") else {
            return;
        };
        _ = part.remove_attribute("hidden");
        if let Some(bar) = self.find("progress") {
            _ = bar.set_attribute("value", &done.to_string());
            _ = bar.set_attribute("max", &(done + left).to_string());
        }
        if let Some(words) = self.find("[data-progress] p") {
            words.set_text_content(Some(&format!("{done} ended, {left} left.")));
        }
    }

    fn show_message(&self, words: &str) {
        if let Some(place) = self.find("[data-problem]") {
            place.set_text_content(Some(words));
        }
    }

    fn find(&self, what: &str) -> Option<Element> {
        self.0.query_selector(what).ok().flatten()
    }
}
