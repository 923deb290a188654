//! Asking the server something outside of a server function.

use std::time::Duration;

use leptos::{
    prelude::window,
    wasm_bindgen::{JsCast, JsValue},
    web_sys::{AbortSignal, RequestInit, Response},
};
use wasm_bindgen_futures::JsFuture;

/// No answer came, or not in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoAnswer;

/// Gets the text at `path` and the status that it came with.
///
/// # Errors
/// [`NoAnswer`] when there is none after `patience`.
pub async fn get(path: &str, patience: Duration) -> Result<(u16, String), NoAnswer> {
    read(path, patience).await.map_err(|_| NoAnswer)
}

async fn read(path: &str, patience: Duration) -> Result<(u16, String), JsValue> {
    let options = RequestInit::new();
    options.set_cache(leptos::web_sys::RequestCache::NoStore);
    let patience = u32::try_from(patience.as_millis()).unwrap_or(u32::MAX);
    options.set_signal(Some(&AbortSignal::timeout_with_u32(patience)));
    let answer = JsFuture::from(window().fetch_with_str_and_init(path, &options)).await?;
    let answer: Response = answer.dyn_into()?;
    let text = JsFuture::from(answer.text()?).await?;
    Ok((answer.status(), text.as_string().unwrap_or_default()))
}
