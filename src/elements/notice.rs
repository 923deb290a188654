//! A message in the page: an icon and text, never colour alone.

use leptos::prelude::*;

use super::icon::{Icon, IconName};

/// The kind of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    Info,
    Success,
    Warning,
    Error,
}

/// Shows a message. Screen readers announce errors at once, other messages politely.
#[component]
pub fn Notice(tone: Tone, #[prop(optional)] id: Option<&'static str>, children: Children) -> impl IntoView {
    let (class, name) = match tone {
        Tone::Info => ("notice info", IconName::Info),
        Tone::Success => ("notice success", IconName::Check),
        Tone::Warning => ("notice warning", IconName::AlertTriangle),
        Tone::Error => ("notice error", IconName::AlertCircle),
    };
    let role = if tone == Tone::Error { "alert" } else { "status" };
    view! {
        <div class=class role=role id=id tabindex="-1">
            <Icon name />
            <div>{children()}</div>
        </div>
    }
}
