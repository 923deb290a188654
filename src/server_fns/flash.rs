//! The flash message of the page that is loaded.

use leptos::prelude::SharedValue;

use domain::flash::FlashCode;

/// What the page says once, if that is one of `codes`. The browser takes over what the server has rendered. To be called
/// while the page is built, before anything is waited for.
pub fn flash_words(codes: &'static [FlashCode]) -> Option<String> {
    let words = SharedValue::new_str(|| on_request(codes)).into_inner();
    (!words.is_empty()).then_some(words)
}

#[cfg(feature = "ssr")]
fn on_request(codes: &[FlashCode]) -> String {
    super::border::flash()
        .filter(|flash| codes.contains(&flash.code))
        .map(|flash| flash.words())
        .unwrap_or_default()
}

#[cfg(not(feature = "ssr"))]
fn on_request(_: &[FlashCode]) -> String {
    String::new()
}
