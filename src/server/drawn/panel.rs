//! Beside the list: one session with its history, its person, and what can be done.

use chrono::{DateTime, Utc};
use leptos::prelude::*;

use super::{
    ending::Asks,
    person::{self, Links},
    sessions::{Open, Place, state},
    words::moment,
};
use domain::{
    admin::{SessionStatus, TimelineEntry},
    session::ClientKind,
};

use crate::elements::icon::{Icon, IconName};

/// What is drawn.
pub struct Panel<'a> {
    pub open: Open,
    pub place: &'a Place,
    pub now: DateTime<Utc>,
}

/// Draws the panel.
pub fn draw(panel: Panel<'_>) -> AnyView {
    let Panel { open, place, now } = panel;
    let Open {
        session: reviewed,
        timeline,
        person: of_person,
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
    let end_one = (reviewed.state == SessionStatus::Live).then(|| {
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
    let (asking, showing) = (
        |asks| place.asking(Some(asks)).address(),
        |session| place.showing(Some(session)).address(),
    );
    let links = Links {
        asking: &asking,
        session: &showing,
        is_same_page: true,
    };
    view! {
        <aside class="card session-panel" aria-labelledby="panel-title">
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
            <section class="panel-part" aria-labelledby="person-title">
                <h3 id="person-title"><bdi>{of_person.person.user.display_name.clone()}</bdi></h3>
                {person::facts(&of_person)}
                <h4>"Other live sessions"</h4>
                {person::sessions(&of_person, links, "Signed in nowhere else.", now)}
                {person::actions(&of_person, links)}
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
