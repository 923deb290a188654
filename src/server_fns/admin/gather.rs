//! What is drawn, put together.

use leptos::server_fn::error::ServerFnUrlError;

use super::words::Deed;
use crate::{
    domain::{
        ids::SessionId,
        next::form_value,
        review::{Person, ReviewedSession, State, Which},
        session_filter::{SessionFilter, Sort},
        time::parse_rfc3339,
    },
    error::AppError,
    server::{
        auth::current_session::CurrentSession,
        drawn::{
            audit as audit_drawing,
            ending::Question,
            health as health_drawing,
            sessions::{self as drawing, Asks, Drawing, Open, Place},
        },
        health::Health,
        services::{
            admin::{Reach, audit_log, people, revoke, sessions, timeline},
            alerts, insight, step_up,
        },
        state::AppState,
        store::review::Cursor,
    },
    ui::components::notice::Tone,
};

/// Rows of a page.
const ROWS: u16 = 50;

pub async fn sessions(
    state: &AppState,
    caller: &CurrentSession,
    reach: Reach,
    query: &str,
) -> Result<String, AppError> {
    let (mut place, mut problem) = Place::read(query);
    let after = Cursor::read(&place.after, place.sort);
    if after.is_none() {
        place.after = String::new();
    }
    // What cannot be read lists nothing, and nothing of it can be ended.
    let page = if problem.is_none() {
        let after = after.as_ref();
        sessions::list(state, caller, reach, &place.filter, place.sort, after, ROWS).await?
    } else {
        place.asks = None;
        sessions::Page::default()
    };
    let panel = match place.session {
        None => None,
        Some(id) => match open(state, caller, reach, id).await {
            Ok(open) => Some(open),
            Err(AppError::NotFound) => {
                problem.get_or_insert("That session is not there, or not yours to see.".to_owned());
                place = place.showing(None);
                None
            }
            Err(error) => return Err(error),
        },
    };
    let question = match place.asks {
        None => None,
        Some(asks) => question(state, caller, reach, &place, panel.as_ref(), asks, query).await?,
    };
    Ok(drawing::draw(Drawing {
        place,
        problem,
        outcome: outcome(query),
        organization: name_of(reach, caller),
        page,
        panel,
        question,
        own: caller.user.id,
        now: state.clock.now(),
    }))
}

pub async fn audit(
    state: &AppState,
    caller: &CurrentSession,
    reach: Reach,
    query: &str,
) -> Result<String, AppError> {
    let (place, problem) = audit_drawing::Place::read(query);
    let page = match problem {
        None => audit_log::list(state, reach, &place.filter, place.before, ROWS).await?,
        Some(_) => audit_log::Page::default(),
    };
    Ok(audit_drawing::draw(audit_drawing::Drawing {
        place,
        problem,
        organization: name_of(reach, caller),
        page,
        trust: audit_log::trust(state).await?,
    }))
}

pub async fn health(
    state: &AppState,
    caller: &CurrentSession,
    reach: Reach,
    query: &str,
) -> Result<String, AppError> {
    let place = health_drawing::Place::read(query);
    let now = state.clock.now();
    let insight = insight::figures(&state.database, place.period, reach.organization, now).await?;
    let whole = match reach.organization {
        Some(_) => None,
        None => Some(health_drawing::Whole {
            checks: Health::of_server(state).await.checks,
            alerts: alerts::list(&state.database).await?,
            rules: alerts::rules(&state.config.alerts),
            has_webhook: state.config.alerts.webhook.is_some(),
            asks_password: step_up::is_required(state, caller),
        }),
    };
    Ok(health_drawing::draw(health_drawing::Drawing {
        place,
        organization: name_of(reach, caller),
        insight,
        whole,
        outcome: outcome(query),
        now,
    }))
}

/// What was done just before, as the address says.
fn outcome(query: &str) -> Option<(Tone, String)> {
    let deed = Deed::of(&form_value(query, "done")?)?;
    Some((Tone::Success, deed.words().to_owned()))
}

/// The organization whose people are looked at.
fn name_of(reach: Reach, caller: &CurrentSession) -> Option<String> {
    let organization = reach.organization.and(caller.organization.as_ref());
    organization.map(|organization| organization.name.clone())
}

async fn open(
    state: &AppState,
    caller: &CurrentSession,
    reach: Reach,
    id: SessionId,
) -> Result<Open, AppError> {
    let session = sessions::find(state, caller, reach, id).await?;
    let user = session.user.id;
    let of_person = SessionFilter {
        user: Some(user),
        ..SessionFilter::default()
    };
    let person: Person = people::find(state, reach, user).await?;
    let live = sessions::list(state, caller, reach, &of_person, Sort::LastActive, None, ROWS)
        .await?
        .sessions;
    let others: Vec<ReviewedSession> = live.into_iter().filter(|other| other.session.id != id).collect();
    Ok(Open {
        timeline: timeline::of(state, reach, &session).await?,
        hindrance: people::hindrance(caller, reach, &person),
        memberships: people::memberships(state, reach, user).await?,
        session,
        person,
        others,
    })
}

async fn question(
    state: &AppState,
    caller: &CurrentSession,
    reach: Reach,
    place: &Place,
    open: Option<&Open>,
    asks: Asks,
    query: &str,
) -> Result<Option<Question>, AppError> {
    let begun_by = form_value(query, "begun_by").and_then(|text| parse_rfc3339(&text));
    let begun_by = begun_by.unwrap_or_else(|| state.clock.now());
    let which = match (asks, open) {
        (Asks::EndListed, _) => Some(Which::Listed(place.filter.clone())),
        (_, None) => return Ok(None),
        (Asks::EndOne, Some(open)) => Some(Which::Sessions(vec![open.session.session.id])),
        (Asks::EndOfPerson, Some(open)) => Some(Which::OfPerson(open.person.user.id)),
        (_, Some(_)) => None,
    };
    let (count, with_own) = match which {
        None => (0, false),
        Some(which) => {
            let wish = revoke::Wish {
                which,
                begun_by,
                note: None,
                own_too: false,
            };
            match revoke::count(state, caller, reach, &wish).await {
                Ok(counted) => counted,
                // A list of ended sessions has none to end.
                Err(AppError::InvalidInput { .. }) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    };
    let problem = form_value(query, "__err").map(|error| ServerFnUrlError::<AppError>::decode_err(&error));
    let asks_password =
        step_up::is_required(state, caller) || matches!(problem, Some(AppError::ReauthRequired));
    Ok(Some(Question {
        asks,
        count,
        with_own,
        device: open
            .filter(|open| open.session.state == State::Live)
            .map(|open| open.session.session.device_name.clone()),
        person: open.map(|open| open.person.clone()),
        memberships: open.map(|open| open.memberships.clone()).unwrap_or_default(),
        begun_by,
        asks_password,
        problem: problem.filter(|error| *error != AppError::ReauthRequired),
        ended_before: form_value(query, "ended")
            .and_then(|ended| ended.parse().ok())
            .unwrap_or_default(),
    }))
}
