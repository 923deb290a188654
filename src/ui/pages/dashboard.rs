//! The dashboard: what the portal knows about the user.

use domain::{
    overview::{AttentionItem, Overview, PreviousSignIn, Viewer},
    session_state::SessionState,
    time::pluralize,
};
use leptos::prelude::*;

use crate::{
    elements::{
        icon::{Icon, IconName},
        notice::{Notice, Tone},
    },
    error::AppError,
    ui::{
        components::{
            device_list::devices,
            dynamic::{async_view, rows},
            local_time::LocalTime,
            page_title::PageTitle,
        },
        live::monitor,
        page_data::PageResource,
    },
};

#[component]
pub fn DashboardPage() -> impl IntoView {
    let viewer = expect_context::<PageResource<Viewer>>();
    let overview = PageResource::<Overview>::start();
    let loading = || {
        let status = view! {
            <p class="visually-hidden" role="status">
                "Loading…"
            </p>
        };
        status.into_any()
    };
    let content = async_view(loading, move || async move {
        match (viewer.wait().await, overview.wait().await) {
            (Ok(viewer), Ok(overview)) => view! { <Cards viewer overview /> }.into_any(),
            (Err(error), _) | (_, Err(error)) => {
                let retry = move |()| {
                    viewer.refetch();
                    overview.refetch();
                };
                view! { <Failed error retry=Callback::new(retry) /> }.into_any()
            }
        }
    });
    view! {
        <PageTitle text="Dashboard" />
        <main class="page" id="content" tabindex="-1">
            {content}
        </main>
    }
}

#[component]
fn Failed(error: AppError, retry: Callback<()>) -> impl IntoView {
    view! {
        <div class="page-head">
            <h1>"Dashboard"</h1>
        </div>
        <Notice tone=Tone::Error>
            <p class="notice-title">"The dashboard could not be loaded."</p>
            <p>{error.message()}</p>
            <p class="actions">
                <a
                    class="button"
                    href="/dashboard"
                    rel="external"
                    on:click=move |event| {
                        // If the session was never loaded, a full load restores everything.
                        if monitor::is_running() {
                            event.prevent_default();
                            retry.run(());
                        }
                    }
                >
                    "Try again"
                </a>
            </p>
        </Notice>
    }
}

#[component]
fn Cards(viewer: Viewer, overview: Overview) -> impl IntoView {
    let SessionState {
        user, organization, ..
    } = viewer.state;
    let first_name = user
        .display_name
        .split_whitespace()
        .next()
        .unwrap_or_default()
        .to_owned();
    let role = user.role.label();
    let place = organization
        .as_ref()
        .map(|organization| view! { " at " <bdi>{organization.name.clone()}</bdi> }.into_any());
    view! {
        <div class="page-head">
            <h1>"Dashboard"</h1>
            <p class="lead">
                "Hello, " <bdi>{first_name}</bdi> ". You are signed in as " {with_article(role)} {place} "."
            </p>
        </div>
        <div class="dashboard">
            <NeedsAttention attention=overview.attention.clone() />
            <WhereSignedIn overview=overview.clone() />
            <LastSignIn previous=overview.previous_sign_in />
            <section class="card across" aria-labelledby="you-title">
                <header class="card-head">
                    <h2 id="you-title">"You"</h2>
                </header>
                <div class="card-body">
                    <dl class="details-list across">
                        <div>
                            <dt>"Name"</dt>
                            <dd>{user.display_name}</dd>
                        </div>
                        <div>
                            <dt>"Email"</dt>
                            <dd>{user.email}</dd>
                        </div>
                        <div>
                            <dt>"Role"</dt>
                            <dd>{role}</dd>
                        </div>
                        <div>
                            <dt>"Organization"</dt>
                            <dd>{organization.map_or_else(|| "None".to_owned(), |organization| organization.name)}</dd>
                        </div>
                    </dl>
                </div>
            </section>
        </div>
    }
}

fn with_article(role: &str) -> String {
    let role = role.to_ascii_lowercase();
    let article = if role.starts_with(['a', 'e', 'i', 'o', 'u']) {
        "an"
    } else {
        "a"
    };
    format!("{article} {role}")
}

#[component]
fn NeedsAttention(attention: Vec<AttentionItem>) -> impl IntoView {
    let item = |attention: AttentionItem| {
        // Security notices are above the list.
        let place = match attention {
            AttentionItem::SecurityNotices { .. } => "/dashboard/settings",
            _ => "/dashboard/settings#sessions",
        };
        let (title, text) = match attention {
            AttentionItem::SecurityNotices { count } => (
                format!("{} to review", pluralize(count.into(), "unusual event")),
                "Your sessions show unusual activity. Say whether it was you.",
            ),
            AttentionItem::FailedSignIns { count } => (
                format!(
                    "{} since your previous sign-in",
                    pluralize(count.into(), "refused sign-in")
                ),
                "Someone typed your email with a wrong password. If that was not you, sign out the devices that you do \
                 not know and tell your administrator.",
            ),
            AttentionItem::SignedOutForLimit { device_name } => (
                format!("{device_name} was signed out when you signed in here"),
                "Your role allows no more devices at once, and it was the least recently used.",
            ),
            AttentionItem::AtSessionLimit { limit } => (
                format!(
                    "Your role allows {}, and you have reached that limit",
                    devices(limit)
                ),
                "The next sign-in signs out the least recently used one. Sign out those that you do not use.",
            ),
        };
        view! {
            <li>
                <Icon name=IconName::AlertTriangle />
                <div>
                    <p>
                        <strong>{title}</strong>
                    </p>
                    <p class="soft small">{text}</p>
                </div>
                <a class="button small" href=place>
                    "Review sessions"
                </a>
            </li>
        }
        .into_any()
    };
    view! {
        <section class="card across" aria-labelledby="attention-title">
            <header class="card-head">
                <h2 id="attention-title">"Needs your attention"</h2>
            </header>
            {if attention.is_empty() {
                view! {
                    <div class="card-body">
                        <p class="soft">
                            "Nothing right now. Refused sign-ins and reached device limits appear here."
                        </p>
                    </div>
                }
                    .into_any()
            } else {
                view! { <ul class="attention-list">{rows(attention, item)}</ul> }.into_any()
            }}
        </section>
    }
}

#[component]
fn WhereSignedIn(overview: Overview) -> impl IntoView {
    let count = overview.browsers + overview.desktops;
    let noun = if count == 1 { "device" } else { "devices" };
    let number = |n: usize, what| pluralize(i64::try_from(n).unwrap_or(i64::MAX), what);
    let kinds = match (overview.browsers, overview.desktops) {
        (browsers, 0) => number(browsers, "browser"),
        (browsers, desktops) => format!(
            "{} and {}",
            number(browsers, "browser"),
            number(desktops, "desktop app")
        ),
    };
    view! {
        <section class="card" aria-labelledby="where-title">
            <header class="card-head">
                <h2 id="where-title">"Where you are signed in"</h2>
            </header>
            <div class="card-body">
                <p class="figure">
                    <strong>{count}</strong>
                    " "
                    {noun}
                </p>
                <p class="soft">{kinds}</p>
                {overview
                    .current
                    .map(|current| {
                        view! {
                            <dl class="details-list">
                                <div>
                                    <dt>"This session"</dt>
                                    <dd>
                                        <bdi>{current.device_name}</bdi> ", signed in " <LocalTime at=current.created_at />
                                    </dd>
                                </div>
                            </dl>
                        }
                            .into_any()
                    })}
            </div>
            <footer class="card-foot">
                <a class="button" href="/dashboard/settings#sessions">
                    "Review sessions"
                </a>
            </footer>
        </section>
    }
}

#[component]
fn LastSignIn(previous: Option<PreviousSignIn>) -> impl IntoView {
    let body = match previous {
        None => {
            view! { <p class="soft">"This is the first recorded sign-in to this account."</p> }.into_any()
        }
        Some(previous) => {
            let unknown = || "Not known".to_owned();
            view! {
                <dl class="details-list">
                    <div>
                        <dt>"When"</dt>
                        <dd>
                            <LocalTime at=previous.at />
                        </dd>
                    </div>
                    <div>
                        <dt>"Device"</dt>
                        <dd>{previous.device_name.unwrap_or_else(unknown)}</dd>
                    </div>
                    <div>
                        <dt>"Address"</dt>
                        <dd>{previous.ip_address.unwrap_or_else(unknown)}</dd>
                    </div>
                </dl>
                <p class="soft">"If this was not you, sign out all devices and tell your administrator."</p>
            }
            .into_any()
        }
    };
    view! {
        <section class="card" aria-labelledby="last-title">
            <header class="card-head">
                <h2 id="last-title">"Last sign-in"</h2>
                <p class="card-aside">"before this one"</p>
            </header>
            <div class="card-body">{body}</div>
        </section>
    }
}
