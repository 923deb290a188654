//! The brokerages that the person belongs to.

use leptos::prelude::*;

use crate::{
    domain::{organization::Membership, overview::Viewer},
    error::AppError,
    server_fns::list_memberships,
    ui::components::{
        icon::{Icon, Picture},
        notice::{Notice, Tone},
    },
};

/// Lists them, with the current one marked.
#[component]
pub fn OrganizationSection() -> impl IntoView {
    let viewer = expect_context::<Resource<Result<Viewer, AppError>>>();
    let memberships = Resource::new_blocking(|| (), |()| list_memberships());
    view! {
        <section class="card" aria-labelledby="organization-title">
            <header class="card-head">
                <h2 id="organization-title">"Organization"</h2>
            </header>
            <Transition>
                {move || Suspend::new(async move {
                    let current = viewer.await.ok().and_then(|viewer| viewer.organization);
                    match memberships.await {
                        Ok(list) if list.is_empty() => {
                            view! {
                                <div class="card-body">
                                    <p class="soft">
                                        "You belong to no organization. An administrator can add you to one."
                                    </p>
                                </div>
                            }
                                .into_any()
                        }
                        Ok(list) => {
                            let row = |membership: Membership| {
                                let is_current = current.as_ref() == Some(&membership.organization);
                                view! { <Row membership is_current /> }
                            };
                            view! { <ul class="membership-list">{list.into_iter().map(row).collect_view()}</ul> }
                                .into_any()
                        }
                        Err(error) => {
                            view! {
                                <div class="card-body">
                                    <Notice tone=Tone::Error>
                                        <p class="notice-title">"Your organizations could not be loaded."</p>
                                        <p>{error.message()}</p>
                                    </Notice>
                                </div>
                            }
                                .into_any()
                        }
                    }
                })}
            </Transition>
        </section>
    }
}

#[component]
fn Row(membership: Membership, is_current: bool) -> impl IntoView {
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
            {is_current.then(|| view! { <span class="badge accent">"Current"</span> })}
        </li>
    }
}
