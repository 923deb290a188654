//! A line at the top about the whole page: what is so, and what can be done.

use leptos::prelude::*;

use crate::ui::components::icon::{Icon, Picture};

/// The line. It stands in a place that was there before it: else it is not read out.
pub fn banner(class: &'static str, picture: Picture, text: AnyView, actions: AnyView) -> AnyView {
    view! {
        <div class=class>
            <Icon picture />
            <div>{text}</div>
            <div class="actions">{actions}</div>
        </div>
    }
    .into_any()
}
