//! The flash message of the page that is loaded.

use leptos::prelude::SharedValue;

use domain::flash::FlashCode;

/// The flash message, if its code is one of `codes`. The browser takes it from the rendered page. Call this while the
/// page is built, before the first `await`.
pub fn flash_message(codes: &'static [FlashCode]) -> Option<String> {
    let words = SharedValue::new_str(|| message_in_request(codes)).into_inner();
    (!words.is_empty()).then_some(words)
}

#[cfg(feature = "ssr")]
fn message_in_request(codes: &[FlashCode]) -> String {
    super::request_context::flash()
        .filter(|flash| codes.contains(&flash.code))
        .map(|flash| flash.message())
        .unwrap_or_default()
}

#[cfg(not(feature = "ssr"))]
fn message_in_request(_: &[FlashCode]) -> String {
    String::new()
}
