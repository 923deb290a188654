//! Parts of pages that change, and parts that wait, of one type each.
//!
//! A closure in a view is a type of its own, and the framework's code for it is compiled anew for each. Boxed here, all
//! of them share one, which keeps the browser's part small. Text that follows a signal is a `Signal<String>`.

use std::pin::Pin;

use leptos::{prelude::*, reactive::computed::ScopedFuture, tachys::reactive_graph::OwnedView};

type ViewFuture = Pin<Box<dyn Future<Output = AnyView> + Send>>;

/// A part that is there while `part` gives something.
pub fn dynamic(part: impl Fn() -> Option<AnyView> + Send + 'static) -> AnyView {
    dynamic_boxed(Box::new(part))
}

/// Not within [`dynamic`]: closures of a generic function are as many types as it has callers.
fn dynamic_boxed(part: Box<dyn Fn() -> Option<AnyView> + Send>) -> AnyView {
    (move || part()).into_any()
}

/// Does something in the browser now and whenever a signal that it reads has changed.
pub fn effect(work: impl FnMut() + 'static) {
    effect_boxed(Box::new(work));
}

fn effect_boxed(work: Box<dyn FnMut()>) {
    Effect::new(work);
}

/// A row of a list that changes.
pub struct KeyedRow {
    /// Tells it from the others of the list.
    pub key: String,
    /// Makes it, once.
    pub view: Box<dyn Fn() -> AnyView + Send>,
}

/// Rows that stay what they are, with the focus that is in them, while others come and go.
pub fn keyed_rows(each: impl Fn() -> Vec<KeyedRow> + Send + Sync + 'static) -> AnyView {
    keyed_rows_boxed(Box::new(each))
}

fn keyed_rows_boxed(each: Box<dyn Fn() -> Vec<KeyedRow> + Send + Sync>) -> AnyView {
    view! { <For each=move || each() key=|row| row.key.clone() children=|row| (row.view)() /> }.into_any()
}

/// A part that waits for data: on the server, where the page waits with it, and in the browser after a navigation,
/// where `loading` stands meanwhile. What was shown stays while data is loaded anew.
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

/// Runs `part` anew whenever data that it has waited for is loaded anew. Each run owns what its view is made of, for as
/// long as that view is shown. Owned by the effect that runs them, signals and memos would be disposed of as the next run
/// begins, and the old view, which stays until that one is ready, would read them and panic.
fn suspended(part: Box<dyn Fn() -> ViewFuture + Send + Sync>) -> impl IntoView {
    let around = Owner::current().unwrap_or_default();
    move || {
        let owner = around.child();
        let run = owner.with(|| ScopedFuture::new(part()));
        Suspend::new(async move { OwnedView::new_with_owner(run.await, owner) })
    }
}

/// Rows of a list, whatever they are made of.
pub fn rows<T>(items: impl IntoIterator<Item = T>, row: impl Fn(T) -> AnyView) -> AnyView {
    items.into_iter().map(row).collect::<Vec<AnyView>>().into_any()
}

/// Nothing, for a part whose place may stay empty until it is loaded.
pub fn empty_view() -> AnyView {
    ().into_any()
}
