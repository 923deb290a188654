//! GET requests without a server function.

use std::time::Duration;

use leptos::{
    prelude::window,
    wasm_bindgen::{JsCast, JsValue},
    web_sys::{AbortSignal, RequestInit, Response},
};
use wasm_bindgen_futures::JsFuture;

/// There was no response in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoResponse;

/// Returns the status and body of `path`.
///
/// # Errors
/// [`NoResponse`] if there is none within `timeout`.
pub async fn get(path: &str, timeout: Duration) -> Result<(u16, String), NoResponse> {
    read(path, timeout).await.map_err(|_| NoResponse)
}

async fn read(path: &str, timeout: Duration) -> Result<(u16, String), JsValue> {
    let options = RequestInit::new();
    options.set_cache(leptos::web_sys::RequestCache::NoStore);
    let timeout = u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX);
    options.set_signal(Some(&AbortSignal::timeout_with_u32(timeout)));
    let response = JsFuture::from(window().fetch_with_str_and_init(path, &options)).await?;
    let response: Response = response.dyn_into()?;
    let text = JsFuture::from(response.text()?).await?;
    Ok((response.status(), text.as_string().unwrap_or_default()))
}
