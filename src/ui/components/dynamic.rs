//! Dynamic and asynchronous parts of pages, with one type each.
//!
//! Each closure in a view has its own type, and the framework's code is compiled anew for each. Boxed closures share
//! one type, which keeps the browser module small. Use a `Signal<String>` for text that follows a signal.

use std::pin::Pin;

use leptos::{prelude::*, reactive::computed::ScopedFuture, tachys::reactive_graph::OwnedView};

type ViewFuture = Pin<Box<dyn Future<Output = AnyView> + Send>>;

/// A part that exists while `part` returns a view.
pub fn dynamic(part: impl Fn() -> Option<AnyView> + Send + 'static) -> AnyView {
    dynamic_boxed(Box::new(part))
}

/// Not inside [`dynamic`]: a closure in a generic function has one type per caller.
fn dynamic_boxed(part: Box<dyn Fn() -> Option<AnyView> + Send>) -> AnyView {
    (move || part()).into_any()
}

/// Runs `work` in the browser, now and whenever a signal that it reads changes.
pub fn effect(work: impl FnMut() + 'static) {
    effect_boxed(Box::new(work));
}

fn effect_boxed(work: Box<dyn FnMut()>) {
    Effect::new(work);
}

/// A row of a dynamic list.
pub struct KeyedRow {
    /// Identifies the row in the list.
    pub key: String,
    /// Renders the row, once.
    pub view: Box<dyn Fn() -> AnyView + Send>,
}

/// Rows that keep their state and focus while others are added or removed.
pub fn keyed_rows(each: impl Fn() -> Vec<KeyedRow> + Send + Sync + 'static) -> AnyView {
    keyed_rows_boxed(Box::new(each))
}

fn keyed_rows_boxed(each: Box<dyn Fn() -> Vec<KeyedRow> + Send + Sync>) -> AnyView {
    view! { <For each=move || each() key=|row| row.key.clone() children=|row| (row.view)() /> }.into_any()
}

/// A part that waits for data. On the server, the page waits. In the browser, `loading` is shown after a navigation,
/// and the previous content while data is reloaded.
pub fn async_view<F>(loading: fn() -> AnyView, part: impl Fn() -> F + Send + Sync + 'static) -> AnyView
where
    F: Future<Output = AnyView> + Send + 'static,
{
    async_view_boxed(loading, Box::new(move || Box::pin(part())))
}

fn async_view_boxed(loading: fn() -> AnyView, part: Box<dyn Fn() -> ViewFuture + Send + Sync>) -> AnyView {
    view! { <AsyncView loading part /> }.into_any()
}

#[component]
fn AsyncView(loading: fn() -> AnyView, part: Box<dyn Fn() -> ViewFuture + Send + Sync>) -> impl IntoView {
    view! { <Transition fallback=loading>{suspended(part)}</Transition> }
}

/// Runs `part` again whenever its data is reloaded. Each run has its own owner, which lives as long as its view.
/// Otherwise the next run would dispose of signals that the old view still reads, which panics.
fn suspended(part: Box<dyn Fn() -> ViewFuture + Send + Sync>) -> impl IntoView {
    let around = Owner::current().unwrap_or_default();
    move || {
        let owner = around.child();
        let run = owner.with(|| ScopedFuture::new(part()));
        Suspend::new(async move { OwnedView::new_with_owner(run.await, owner) })
    }
}

/// The rows of a static list.
pub fn rows<T>(items: impl IntoIterator<Item = T>, row: impl Fn(T) -> AnyView) -> AnyView {
    items.into_iter().map(row).collect::<Vec<AnyView>>().into_any()
}

/// An empty view, for a part without a loading state.
pub fn empty_view() -> AnyView {
    ().into_any()
}
