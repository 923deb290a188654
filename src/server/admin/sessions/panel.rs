//! The details of a session: its history, its user, and the permitted actions.

use chrono::{DateTime, Utc};
use leptos::prelude::*;

use super::{SessionsPageState, list::SessionDetails};
use domain::{
    admin::{AdminSession, SessionStatus, TimelineEntry},
    ids::SessionId,
    session::{ClientKind, EndReason},
};

use crate::{
    elements::icon::{Icon, IconName},
    server::admin::{
        html::{age, moment, until},
        pending_action::PendingAction,
        user_details::{self, Links},
    },
};

pub fn view_details(details: SessionDetails, state: &SessionsPageState, now: DateTime<Utc>) -> AnyView {
    let SessionDetails {
        session: reviewed,
        timeline,
        user,
    } = details;
    let close = state.with_selected(None).url();
    let session = &reviewed.session;
    let kind = match session.kind {
        ClientKind::Browser => "Browser",
        ClientKind::Desktop => "Desktop app",
    };
    let on = [
        session.browser.clone(),
        session.os.clone(),
        session.platform.clone(),
    ];
    let on = on.into_iter().flatten().collect::<Vec<_>>().join(" · ");
    let note = reviewed.note.clone().map(|note| {
        view! {
            <div>
                <dt>"Reason given"</dt>
                <dd>{note}</dd>
            </div>
        }
    });
    let end_one = (reviewed.state == SessionStatus::Live).then(|| {
        view! {
            <a
                class="button small danger"
                id="end-one"
                href=state.with_pending(Some(PendingAction::RevokeOne)).url()
                data-noscroll=""
            >
                "End this session…"
            </a>
        }
    });
    let (dialog, showing) = (
        |pending| state.with_pending(Some(pending)).url(),
        |session: SessionId| state.with_selected(Some(session.0)).url(),
    );
    let links = Links {
        dialog: &dialog,
        session: &showing,
        is_same_page: true,
    };
    view! {
        <aside class="card details-panel" aria-labelledby="panel-title">
            <header class="card-head">
                <h2 id="panel-title" tabindex="-1" data-focus=format!("session-{}", session.id)>
                    <Icon name=IconName::of(session) />
                    <bdi>{session.device_name.clone()}</bdi>
                </h2>
                <a class="button small quiet square" href=close data-noscroll="" data-close="" aria-label="Close the details">
                    <Icon name=IconName::Close />
                </a>
            </header>
            <div class="card-body">
                <dl class="details-list">
                    <div>
                        <dt>"State"</dt>
                        <dd class="state">{view_status(&reviewed, now)}</dd>
                    </div>
                    <div>
                        <dt>"Kind"</dt>
                        <dd>{kind}</dd>
                    </div>
                    <div>
                        <dt>"On"</dt>
                        <dd>{on}</dd>
                    </div>
                    <div>
                        <dt>"Address"</dt>
                        <dd>{session.ip_address.clone()}</dd>
                    </div>
                    <div>
                        <dt>"Signed in"</dt>
                        <dd>{moment(session.created_at)}</dd>
                    </div>
                    <div>
                        <dt>"Last active"</dt>
                        <dd>{moment(session.last_active_at)}</dd>
                    </div>
                    <div>
                        <dt>"Last seen"</dt>
                        <dd>{moment(session.last_seen_at)}</dd>
                    </div>
                    {note}
                </dl>
                {end_one.map(|end| view! { <div class="actions">{end}</div> })}
            </div>
            {history(timeline)}
            <section class="panel-part" aria-labelledby="person-title">
                <h3 id="person-title"><bdi>{user.person.user.display_name.clone()}</bdi></h3>
                {user_details::view_account(&user)}
                <h4>"Other live sessions"</h4>
                {user_details::view_sessions(&user, links, "Signed in nowhere else.", now)}
                {user_details::view_actions(&user, links)}
            </section>
        </aside>
    }
    .into_any()
}

fn history(timeline: Vec<TimelineEntry>) -> AnyView {
    let moments = timeline
        .into_iter()
        .map(|happened| {
            view! {
                <li>
                    <p>{happened.what}</p>
                    {happened.more.map(|more| view! { <p class="soft small">{more}</p> })}
                    <p class="soft small">{moment(happened.at)}</p>
                </li>
            }
        })
        .collect::<Vec<_>>();
    view! {
        <section class="panel-part" aria-labelledby="history-title">
            <h3 id="history-title">"What happened"</h3>
            <ol class="timeline">{moments}</ol>
        </section>
    }
    .into_any()
}

/// Whether it is live, and until when; or why it is not, and since when.
pub fn view_status(reviewed: &AdminSession, now: DateTime<Utc>) -> AnyView {
    match reviewed.state {
        SessionStatus::Live => view! {
            <span class="live">"Live"</span>
            <span class="soft small">"Expires " {until(reviewed.session.expires_at, now)}</span>
        }
        .into_any(),
        SessionStatus::Ended => {
            let reason = reviewed.reason.unwrap_or(EndReason::Unknown);
            let since = reviewed.ended_at.unwrap_or(reviewed.session.expires_at);
            view! {
                <span>"Ended"</span>
                <span class="soft small">{reason.label()} ", " {age(since, now)}</span>
            }
            .into_any()
        }
    }
}
