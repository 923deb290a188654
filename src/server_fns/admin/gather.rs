//! What is drawn, put together.

use domain::{
    admin::{AdminSession, RevokeTarget, SessionStatus},
    flash::FlashCode,
    ids::{SessionId, UserId},
    query::query_param,
    session_filter::{SessionFilter, SessionSort},
};

use crate::{
    error::AppError,
    server::{
        auth::current_session::CurrentSession,
        drawn::{
            audit as audit_drawing,
            ending::{Asks, Question},
            health as health_drawing, people as people_drawing,
            person::OfPerson,
            sessions::{self as drawing, Drawing, Open, Place},
        },
        health::Health,
        services::{
            admin::{Reach, audit_log, people, people_list, refused, revoke, sessions, timeline},
            alerts, reauthentication, statistics,
        },
        state::AppState,
        store::cursor::Cursor,
    },
    server_fns::request_context,
    ui::components::notice::Tone,
    wire::error_from_query,
};

/// Rows of a page.
const ROWS: u16 = 50;

/// Live sessions of a person in a panel, with a link to all of them.
const FEW: u16 = 5;

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
    if let Some(user) = place.filter.user {
        reach
            .record_if_foreign(state, caller, &request_context::client()?, user)
            .await?;
    }
    // What cannot be read lists nothing, and nothing of it can be ended.
    let is_unread = problem.is_some();
    let page = if !is_unread {
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
            Err(AppError::SessionNotFound) => {
                refused(state, caller, &request_context::client()?)
                    .record_foreign("session_id", id.0)
                    .await?;
                problem.get_or_insert("That session is not there, or not yours to see.".to_owned());
                place = place.showing(None);
                None
            }
            Err(error) => return Err(error),
        },
    };
    let question = match place.asks {
        None => None,
        Some(asks) => {
            let asked = Asked {
                asks,
                of: panel.as_ref().map(|open| &open.person),
                session: panel.as_ref().map(|open| &open.session),
                listed: Some(&place.filter),
            };
            question(state, caller, reach, asked, query).await?
        }
    };
    Ok(drawing::draw(Drawing {
        place,
        problem,
        is_unread,
        outcome: outcome(question.is_some()),
        organization: name_of(reach, caller),
        page,
        panel,
        question,
        now: state.clock.now(),
    }))
}

pub async fn people(
    state: &AppState,
    caller: &CurrentSession,
    reach: Reach,
    query: &str,
) -> Result<String, AppError> {
    let (mut place, mut problem) = people_drawing::Place::read(query);
    let after = Cursor::read(&place.after, SessionSort::User);
    if after.is_none() {
        place.after = String::new();
    }
    let page = match problem {
        None => Some(people_list::list(state, reach, &place.filter, after.as_ref(), ROWS).await?),
        Some(_) => None,
    };
    let panel = match place.person {
        None => None,
        Some(id) => match of_person(state, caller, reach, id, FEW).await {
            Ok(of) => Some(of),
            Err(AppError::ResourceNotFound(_)) => {
                refused(state, caller, &request_context::client()?)
                    .record_foreign("person_id", id.0)
                    .await?;
                problem.get_or_insert("That person is not there, or not yours to see.".to_owned());
                place = place.showing(None);
                None
            }
            Err(error) => return Err(error),
        },
    };
    let question = match place.asks {
        None => None,
        Some(asks) => {
            let asked = Asked {
                asks,
                of: panel.as_ref(),
                session: None,
                listed: None,
            };
            question(state, caller, reach, asked, query).await?
        }
    };
    Ok(people_drawing::draw(people_drawing::Drawing {
        place,
        problem,
        outcome: outcome(question.is_some()),
        organization: name_of(reach, caller),
        page,
        panel,
        question,
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
    let statistics =
        statistics::load_statistics(&state.database, place.period, reach.organization, now).await?;
    let whole = match reach.organization {
        Some(_) => None,
        None => Some(health_drawing::Whole {
            checks: Health::check_server(state).await.checks,
            alerts: alerts::list(&state.database).await?,
            rules: alerts::rules(&state.config.alerts),
            has_webhook: state.config.alerts.webhook.is_some(),
            asks_password: reauthentication::is_required(state, caller),
        }),
    };
    Ok(health_drawing::draw(health_drawing::Drawing {
        place,
        organization: name_of(reach, caller),
        statistics,
        whole,
        outcome: outcome(false),
        now,
    }))
}

/// What was done just before. A question that stands for the rest says itself how far it has come.
fn outcome(is_asking: bool) -> Option<(Tone, String)> {
    let flash = request_context::flash()?;
    let is_told = is_asking && flash.code == FlashCode::SessionsLeft;
    (!is_told).then(|| (Tone::Success, flash.message()))
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
    // One more, for the one that is shown already.
    let mut person = of_person(state, caller, reach, session.user.id, FEW + 1).await?;
    person.live -= i64::from(session.state == SessionStatus::Live);
    person.sessions.retain(|other| other.session.id != id);
    person.sessions.truncate(usize::from(FEW));
    Ok(Open {
        timeline: timeline::of(state, reach, &session).await?,
        session,
        person,
    })
}

/// Someone within reach, with so many of their live sessions.
async fn of_person(
    state: &AppState,
    caller: &CurrentSession,
    reach: Reach,
    user: UserId,
    most: u16,
) -> Result<OfPerson, AppError> {
    let filter = SessionFilter {
        user: Some(user),
        ..SessionFilter::default()
    };
    let (person, restrictions) = people::find(state, caller, reach, user).await?;
    let live = sessions::list(state, caller, reach, &filter, SessionSort::LastActive, None, most).await?;
    Ok(OfPerson {
        restrictions,
        memberships: people::memberships(state, reach, user).await?,
        person,
        sessions: live.sessions,
        live: live.total,
    })
}

/// What a question is about.
struct Asked<'a> {
    asks: Asks,
    /// The person whose panel is open.
    of: Option<&'a OfPerson>,
    /// The session whose panel is open.
    session: Option<&'a AdminSession>,
    /// Which sessions the page lists.
    listed: Option<&'a SessionFilter>,
}

async fn question(
    state: &AppState,
    caller: &CurrentSession,
    reach: Reach,
    asked: Asked<'_>,
    query: &str,
) -> Result<Option<Question>, AppError> {
    let Asked {
        asks,
        of,
        session,
        listed,
    } = asked;
    // A question whose answer would be rejected is not asked: the panel says why.
    if of.is_some_and(|of| !of.permits(asks)) {
        return Ok(None);
    }
    let until = match query_param(query, "begun_by").and_then(|text| text.parse().ok()) {
        Some(until) => until,
        None => revoke::current_cutoff(state).await?,
    };
    let which = match asks {
        Asks::EndListed => listed.map(|filter| RevokeTarget::Filter(filter.with_explicit_state())),
        Asks::EndOne => session.map(|open| RevokeTarget::Sessions(vec![open.session.id])),
        Asks::EndOfPerson => of.map(|of| RevokeTarget::AllOfUser(of.person.user.id)),
        Asks::Disable | Asks::Enable | Asks::RequirePassword | Asks::ChangeRole => None,
    };
    if which.is_none() && (asks.is_end() || of.is_none()) {
        return Ok(None);
    }
    let (count, with_own) = match which {
        None => (0, false),
        Some(which) => {
            let wish = revoke::Wish {
                which,
                until,
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
    let problem = query_param(query, "__err").map(|error| error_from_query(&error));
    let asks_password =
        reauthentication::is_required(state, caller) || matches!(problem, Some(AppError::ReauthRequired));
    Ok(Some(Question {
        asks,
        count,
        with_own,
        device: session
            .filter(|open| open.state == SessionStatus::Live)
            .map(|open| open.session.device_name.clone()),
        person: of.map(|of| of.person.clone()),
        memberships: of.map(|of| of.memberships.clone()).unwrap_or_default(),
        until,
        asks_password,
        problem: problem.filter(|error| *error != AppError::ReauthRequired),
        ended_before: request_context::flash()
            .filter(|flash| flash.code == FlashCode::SessionsLeft)
            .map_or(0, |flash| flash.count),
    }))
}
