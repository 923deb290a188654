//! Beside the list: one session with its history, its person, and what can be done.

use chrono::{DateTime, Utc};
use leptos::prelude::*;

use super::{
    sessions::{Asks, Open, Place, state},
    words::{age, moment},
};
use crate::{
    domain::{
        ids::UserId,
        review::{Moment, Person, ReviewedSession, State},
        session::ClientKind,
        session_filter::SessionFilter,
        user::Role,
    },
    server::services::admin::people::Hindrance,
    ui::components::icon::{Icon, Picture},
};

/// What is drawn.
pub struct Panel<'a> {
    pub open: Open,
    pub place: &'a Place,
    /// The administrator.
    pub own: UserId,
    pub now: DateTime<Utc>,
}

/// Draws the panel.
pub fn draw(panel: Panel<'_>) -> AnyView {
    let Panel {
        open,
        place,
        own,
        now,
    } = panel;
    let Open {
        session: reviewed,
        timeline,
        person,
        memberships: _,
        hindrance,
        others,
    } = open;
    let close = place.showing(None).address();
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
    let end_one = (reviewed.state == State::Live).then(|| {
        view! {
            <a
                class="button small danger"
                id="end-one"
                href=place.asking(Some(Asks::EndOne)).address()
                data-noscroll=""
            >
                "End this session…"
            </a>
        }
    });
    view! {
        <aside class="card session-panel" aria-labelledby="panel-title">
            <header class="card-head">
                <h2 id="panel-title" tabindex="-1" data-focus=format!("session-{}", session.id)>
                    <Icon picture=Picture::of(session) />
                    {session.device_name.clone()}
                </h2>
                <a class="button small quiet square" href=close data-noscroll="" data-close="" aria-label="Close the details">
                    <Icon picture=Picture::Close />
                </a>
            </header>
            <div class="card-body">
                <dl class="details-list">
                    <div>
                        <dt>"State"</dt>
                        <dd class="state">{state(&reviewed, now)}</dd>
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
                        <dt>"Began"</dt>
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
            {of_person(place, &person, &others, hindrance, own, now)}
        </aside>
    }
    .into_any()
}

fn history(timeline: Vec<Moment>) -> AnyView {
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

fn of_person(
    place: &Place,
    person: &Person,
    others: &[ReviewedSession],
    hindrance: Option<Hindrance>,
    own: UserId,
    now: DateTime<Utc>,
) -> AnyView {
    let user = &person.user;
    let is_own = user.id == own;
    let asks = |asks: Asks| place.asking(Some(asks)).address();
    let action = |ask: Asks, label: &'static str| {
        view! {
            <a class="button small" id=format!("ask-{}", ask.as_str()) href=asks(ask) data-noscroll="">
                {label}
            </a>
        }
        .into_any()
    };
    let mut actions = Vec::new();
    if !is_own && user.role != Role::SystemAdmin {
        actions.push(action(Asks::ChangeRole, "Change role…"));
    }
    if !is_own && !person.password_change_required {
        actions.push(action(Asks::RequirePassword, "Ask for a new password…"));
    }
    if hindrance.is_none() {
        actions.push(if person.is_disabled {
            action(Asks::Enable, "Let sign in again…")
        } else {
            action(Asks::Disable, "Disable the account…")
        });
    }
    let why_not = match hindrance {
        Some(Hindrance::Elsewhere) => {
            Some("They belong to another organization too: a system administrator can disable the account.")
        }
        Some(Hindrance::Own) => {
            Some("This is you. Another administrator can change your role or disable your account.")
        }
        None => None,
    };
    let everything = Place {
        filter: SessionFilter {
            user: Some(user.id),
            state: crate::domain::session_filter::ListState::All,
            ..SessionFilter::default()
        },
        after: String::new(),
        session: None,
        asks: None,
        ..place.clone()
    };
    let others_list = others
        .iter()
        .map(|other| {
            view! {
                <li>
                    <a class="device" href=place.showing(Some(other.session.id)).address() data-noscroll="">
                        <Icon picture=Picture::of(&other.session) />
                        <span>{other.session.device_name.clone()}</span>
                    </a>
                    <span class="soft small">
                        {other.session.ip_address.clone()} " · active " {age(other.session.last_active_at, now)}
                    </span>
                </li>
            }
        })
        .collect::<Vec<_>>();
    let none = others
        .is_empty()
        .then(|| view! { <p class="soft small">"Signed in nowhere else."</p> });
    view! {
        <section class="panel-part" aria-labelledby="person-title">
            <h3 id="person-title">{user.display_name.clone()}</h3>
            <p class="soft small">{user.email.clone()} " · " {user.role.label()}</p>
            <p class="badges">
                {person.is_disabled.then(|| view! { <span class="badge">"Disabled"</span> })}
                {person
                    .password_change_required
                    .then(|| view! { <span class="badge">"New password at the next sign-in"</span> })}
            </p>
            <h4>"Other live sessions"</h4>
            {none}
            <ul class="other-sessions">{others_list}</ul>
            <p class="small">
                <a href=everything.address()>"Everything of this person"</a>
            </p>
            <div class="actions">
                <a class="button small danger" id="end-person" href=asks(Asks::EndOfPerson) data-noscroll="">
                    "End all of their sessions…"
                </a>
                {actions}
            </div>
            {why_not.map(|why| view! { <p class="soft small">{why}</p> })}
        </section>
    }
    .into_any()
}
