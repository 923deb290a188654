//! The parts of a page that the server draws: put into the document, with the focus kept; their forms and links read.

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

/// Puts HTML of the server's into its place; `None`: it is there already. What has the focus keeps it, with what was typed
/// into it since.
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
            // What was just opened, or what opened that which is closed now.
            (_, before, Some(now)) if before.as_ref() != Some(&now) => focus_first(&place, "[data-focus]"),
            (_, Some(before), None) if element::<HtmlElement>(&before).is_some() => focus(&before),
            // The next page begins at its beginning.
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
            // Shown in the page's flow for those without a script.
            dialog.set_open(false);
            _ = dialog.show_modal();
        }
    });
}

/// The id of the link that opened what stands open in it.
fn dialog_opener(place: &Element) -> Option<String> {
    let open = place.query_selector("[data-focus]").ok().flatten()?;
    open.get_attribute("data-focus")
}

/// The field keeps what was typed, and the place in it.
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

/// A question stands over the page, or a form is being filled in or has just been refused.
pub fn has_open_form(place: &str) -> bool {
    const ASKING: &str = "dialog[open], form[data-send]:has(input:focus, [data-problem]:not(:empty))";
    element::<Element>(place)
        .and_then(|place| place.query_selector(ASKING).ok().flatten())
        .is_some()
}

/// Nothing is being answered or chosen in it.
pub fn can_refresh(place: &str) -> bool {
    let is_choosing = document()
        .active_element()
        .is_some_and(|focused| focused.tag_name() == "SELECT");
    !has_open_form(place) && !is_choosing
}

/// Leaves the question that stands over the page, if one does.
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

/// The address that the filter's form asks for.
pub fn filter_url(event: &Event) -> Option<String> {
    let form: HtmlFormElement = closest(event, "form[data-live]")?;
    let query = fields(&form)?;
    let filled: Vec<&str> = query.split('&').filter(|pair| !pair.ends_with('=')).collect();
    Some(format!("{}?{}", form.get_attribute("action")?, filled.join("&")))
}

fn fields(form: &HtmlFormElement) -> Option<String> {
    let data = FormData::new_with_form(form).ok()?;
    // The browser turns the one into the other; the binding knows of texts only.
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

/// Goes to another state of the same page, in place of this one and without a jump: as a link would that the router
/// takes.
pub fn navigate(place: &str) {
    let Some((link, body)) = document().create_element("a").ok().zip(document().body()) else {
        return;
    };
    _ = link.set_attribute("href", place);
    _ = link.set_attribute("data-noscroll", "");
    _ = Reflect::set(&link, &"replace".into(), &true.into());
    // A click is heard of in the document only.
    _ = body.append_child(&link);
    if let Some(link) = link.dyn_ref::<HtmlElement>() {
        link.click();
    }
    link.remove();
}

/// A form that is sent in the background.
#[derive(Clone)]
pub struct FragmentForm(HtmlFormElement);

/// The form of a submit event, if it is one of these.
pub fn submitted_form(event: &Event) -> Option<FragmentForm> {
    closest(event, "form[data-send]").map(FragmentForm)
}

impl FragmentForm {
    pub fn action(&self) -> String {
        self.0.get_attribute("action").unwrap_or_default()
    }

    /// Its fields, as they are sent.
    pub fn fields(&self) -> String {
        fields(&self.0).unwrap_or_default()
    }

    /// Shows that it is at work. False: it is already.
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

    /// Shows that it is at work no more, and what went wrong.
    pub fn finish(&self, problem: Option<&AppError>) {
        if let Some(button) = self.find("button[type=submit]") {
            _ = button.remove_attribute("aria-busy");
        }
        if let Some(progress) = self.find("[data-progress]") {
            _ = progress.set_attribute("hidden", "");
        }
        let Some(problem) = problem else { return };
        let words = match problem {
            AppError::InvalidCredentials => "That password is not right.".to_owned(),
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

    /// How far it has come.
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
