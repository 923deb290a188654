//! The devices that are about to be signed out, and the words around them: in the dialog and on the page without
//! JavaScript alike.

use leptos::prelude::*;

use super::{
    dynamic::dynamic,
    icon::{Icon, Picture},
};
use crate::domain::{session::Session, time::plural};

/// "3 devices"
pub fn devices(count: usize) -> String {
    plural(i64::try_from(count).unwrap_or(i64::MAX), "device")
}

/// "This ends 3 sessions, this browser included:"
pub fn ends_text(count: usize) -> String {
    match count {
        1 => "This ends the session in this browser:".to_owned(),
        _ => format!("This ends {count} sessions, this browser included:"),
    }
}

/// The devices by name and what they have to do afterwards.
#[component]
pub fn DeviceList(#[prop(into)] sessions: Signal<Vec<Session>>) -> impl IntoView {
    let row = |session: &Session| {
        view! {
            <li>
                <Icon picture=Picture::of(session) />
                <span>{session.spoken_name()}</span>
            </li>
        }
    };
    let rows = dynamic(move || {
        Some(
            sessions
                .with(|sessions| sessions.iter().map(row).collect_view())
                .into_any(),
        )
    });
    view! {
        <ul class="device-list">{rows}</ul>
        <p class="caution">
            <Icon picture=Picture::AlertTriangle />
            <span>"Each of them has to sign in again. Unsaved work there may be lost."</span>
        </p>
    }
}
