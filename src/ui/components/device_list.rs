//! The devices that will be signed out, for the dialog and the page without JavaScript.

use leptos::prelude::*;

use super::dynamic::{dynamic, rows};
use domain::{session::Session, time::pluralize};

use crate::elements::icon::{Icon, IconName};

/// "3 devices"
pub fn devices(count: usize) -> String {
    pluralize(i64::try_from(count).unwrap_or(i64::MAX), "device")
}

/// Lists the devices with a caution. Devices with the same name also show their address.
#[component]
pub fn DeviceList(#[prop(into)] sessions: Signal<Vec<Session>>) -> impl IntoView {
    let list = dynamic(move || {
        let list = sessions.with(|sessions| {
            let row = |session: &Session| {
                let same = |other: &&Session| other.device_name == session.device_name;
                let address = (sessions.iter().filter(same).count() > 1).then(|| session.ip_address.clone());
                view! {
                    <li>
                        <Icon name=IconName::of(session) />
                        <span>{session.descriptive_name()}</span>
                        {address.map(|address| view! { <span class="soft">{address}</span> }.into_any())}
                    </li>
                }
                .into_any()
            };
            rows(sessions, row)
        });
        Some(list)
    });
    let caution = Signal::derive(move || sessions.with(|sessions| caution(sessions).to_owned()));
    view! {
        <ul class="device-list">{list}</ul>
        <p class="caution">
            <Icon name=IconName::AlertTriangle />
            <span>{caution}</span>
        </p>
    }
}

fn caution(sessions: &[Session]) -> &'static str {
    match sessions {
        [only] if only.is_current => "You must sign in again. Unsaved work in this browser may be lost.",
        [_] => "It must sign in again. Unsaved work there may be lost.",
        _ => "Each of them must sign in again. Unsaved work there may be lost.",
    }
}
