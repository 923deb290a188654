//! The brokerages that the person belongs to.

use domain::{organization::Membership, overview::Viewer};
use leptos::prelude::*;

use crate::ui::{
    components::{
        dynamic::{nothing, rows, waiting},
        icon::{Icon, Picture},
        trouble::Trouble,
    },
    loading::Loading,
};

/// Lists them, with the current one marked.
#[component]
pub fn OrganizationSection() -> impl IntoView {
    let viewer = expect_context::<Loading<Viewer>>();
    let list = waiting(nothing, move || async move {
        match viewer.ready().await {
            Ok(viewer) => view! { <Memberships viewer /> }.into_any(),
            Err(error) => view! {
                <div class="card-body">
                    <Trouble title="Your organizations could not be loaded." error />
                </div>
            }
            .into_any(),
        }
    });
    view! {
        <section class="card" aria-labelledby="organization-title">
            <header class="card-head">
                <h2 id="organization-title">"Organization"</h2>
            </header>
            {list}
        </section>
    }
}

#[component]
fn Memberships(viewer: Viewer) -> impl IntoView {
    let Viewer {
        state, memberships, ..
    } = viewer;
    if memberships.is_empty() {
        return view! {
            <div class="card-body">
                <p class="soft">"You belong to no organization. An administrator can add you to one."</p>
            </div>
        }
        .into_any();
    }
    let row = |membership: Membership| {
        let is_current = state.organization.as_ref() == Some(&membership.organization);
        view! {
            <li class="membership">
                <span class="tile">
                    <Icon picture=Picture::Building />
                </span>
                <div>
                    <p>
                        <strong>{membership.organization.name}</strong>
                    </p>
                    <p class="soft">{membership.role.label()}</p>
                </div>
                {is_current.then(|| view! { <span class="badge accent">"Current"</span> }.into_any())}
            </li>
        }
        .into_any()
    };
    view! { <ul class="membership-list">{rows(memberships, row)}</ul> }.into_any()
}
