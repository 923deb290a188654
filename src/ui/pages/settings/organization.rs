//! The user's organizations.

use domain::{organization::Membership, overview::Viewer};
use leptos::prelude::*;

use crate::elements::icon::{Icon, IconName};
use crate::ui::{
    components::{
        dynamic::{async_view, empty_view, rows},
        error_notice::ErrorNotice,
    },
    page_data::PageResource,
};

/// Lists the memberships, with the active organization marked.
#[component]
pub fn OrganizationSection() -> impl IntoView {
    let viewer = expect_context::<PageResource<Viewer>>();
    let list = async_view(empty_view, move || async move {
        match viewer.wait().await {
            Ok(viewer) => view! { <Memberships viewer /> }.into_any(),
            Err(error) => view! {
                <div class="card-body">
                    <ErrorNotice title="Your organizations could not be loaded." error />
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
                    <Icon name=IconName::Building />
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
