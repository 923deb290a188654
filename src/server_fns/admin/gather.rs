//! What is drawn, put together.

use domain::{
    admin::{AdminSession, RevokeTarget, SessionStatus},
    admin_permission::Denied,
    flash::FlashCode,
    ids::{SessionId, UserId},
    query::query_param,
    session_filter::{SessionFilter, SessionSort},
};

use crate::{
    elements::notice::Tone,
    error::AppError,
    server::{
        drawn::{
            audit as audit_drawing,
            ending::{Asks, Question},
            health as health_drawing, people as people_drawing,
            person::{OfPerson, Permissions},
            sessions::{self as drawing, Drawing, Open, Place},
        },
        health::Health,
        services::{
            admin::{AdminRequest, audit_log, people, people_list, revoke, sessions, timeline},
            alerts, reauthentication, statistics,
        },
        store::cursor::Cursor,
    },
    server_fns::request_context,
    wire::error_from_query,
};

/// Rows of a page.
const ROWS: u16 = 50;

/// Live sessions of a person in a panel, with a link to all of them.
const FEW: u16 = 5;

pub async fn sessions(admin: &AdminRequest, query: &str) -> Result<String, AppError> {
    let (mut place, mut problem) = Place::read(query);
    let after = Cursor::read(&place.after, place.sort);
    if after.is_none() {
        place.after = String::new();
    }
    if let Some(user) = place.filter.user {
        admin.record_user_out_of_scope(user).await?;
    }
    // What cannot be read lists nothing, and nothing of it can be ended.
    let is_unread = problem.is_some();
    let page = if !is_unread {
        let after = after.as_ref();
        sessions::list(admin, &place.filter, place.sort, after, ROWS).await?
    } else {
        place.asks = None;
        sessions::Page::default()
    };
    let panel = match place.session {
        None => None,
        Some(id) => match open(admin, id).await {
            Ok(open) => Some(open),
            Err(AppError::SessionNotFound) => {
                admin.record_foreign_id("session_id", id.0).await?;
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
            question(admin, asked, query).await?
        }
    };
    Ok(drawing::draw(Drawing {
        place,
        problem,
        is_unread,
        outcome: outcome(question.is_some()),
        organization: admin.organization_name().map(str::to_owned),
        page,
        panel,
        question,
        now: admin.state.clock.now(),
    }))
}

pub async fn people(admin: &AdminRequest, query: &str) -> Result<String, AppError> {
    let (mut place, mut problem) = people_drawing::Place::read(query);
    let after = Cursor::read(&place.after, SessionSort::User);
    if after.is_none() {
        place.after = String::new();
    }
    let page = match problem {
        None => Some(people_list::list(admin, &place.filter, after.as_ref(), ROWS).await?),
        Some(_) => None,
    };
    let panel = match place.person {
        None => None,
        Some(id) => match of_person(admin, id, FEW).await {
            Ok(of) => Some(of),
            Err(AppError::ResourceNotFound(_)) => {
                admin.record_foreign_id("person_id", id.0).await?;
                problem.get_or_insert(Denied::OutOfScope.message().to_owned());
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
            question(admin, asked, query).await?
        }
    };
    Ok(people_drawing::draw(people_drawing::Drawing {
        place,
        problem,
        outcome: outcome(question.is_some()),
        organization: admin.organization_name().map(str::to_owned),
        page,
        panel,
        question,
        now: admin.state.clock.now(),
    }))
}

pub async fn audit(admin: &AdminRequest, query: &str) -> Result<String, AppError> {
    let (place, problem) = audit_drawing::Place::read(query);
    let page = match problem {
        None => audit_log::list(admin, &place.filter, place.before, ROWS).await?,
        Some(_) => audit_log::Page::default(),
    };
    Ok(audit_drawing::draw(audit_drawing::Drawing {
        place,
        problem,
        organization: admin.organization_name().map(str::to_owned),
        page,
        trust: audit_log::trust(&admin.state).await?,
    }))
}

pub async fn health(admin: &AdminRequest, query: &str) -> Result<String, AppError> {
    let place = health_drawing::Place::read(query);
    let now = admin.state.clock.now();
    let state = &admin.state;
    let statistics =
        statistics::load_statistics(&state.database, place.period, admin.scope.organization, now).await?;
    let whole = match admin.scope.organization {
        Some(_) => None,
        None => Some(health_drawing::Whole {
            checks: Health::check_server(state).await.checks,
            alerts: alerts::list(&state.database).await?,
            rules: alerts::rules(&state.config.alerts),
            has_webhook: state.config.alerts.webhook.is_some(),
            asks_password: reauthentication::is_required(state, &admin.caller),
        }),
    };
    Ok(health_drawing::draw(health_drawing::Drawing {
        place,
        organization: admin.organization_name().map(str::to_owned),
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

async fn open(admin: &AdminRequest, id: SessionId) -> Result<Open, AppError> {
    let session = sessions::find(admin, id).await?;
    // One more, for the one that is shown already.
    let mut person = of_person(admin, session.user.id, FEW + 1).await?;
    person.live -= i64::from(session.state == SessionStatus::Live);
    person.sessions.retain(|other| other.session.id != id);
    person.sessions.truncate(usize::from(FEW));
    Ok(Open {
        timeline: timeline::of(admin, &session).await?,
        session,
        person,
    })
}

/// Someone within reach, with so many of their live sessions.
async fn of_person(admin: &AdminRequest, user: UserId, most: u16) -> Result<OfPerson, AppError> {
    let filter = SessionFilter {
        user: Some(user),
        ..SessionFilter::default()
    };
    let person = people::find(admin, user).await?;
    let live = sessions::list(admin, &filter, SessionSort::LastActive, None, most).await?;
    Ok(OfPerson {
        permissions: Permissions::of(admin, &person),
        memberships: people::memberships(admin, user).await?,
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

async fn question(admin: &AdminRequest, asked: Asked<'_>, query: &str) -> Result<Option<Question>, AppError> {
    let Asked {
        asks,
        of,
        session,
        listed,
    } = asked;
    // A question whose answer would be rejected is not asked: the panel says why.
    if of.is_some_and(|of| !of.permissions.offers(asks)) {
        return Ok(None);
    }
    let until = match query_param(query, "begun_by").and_then(|text| text.parse().ok()) {
        Some(until) => until,
        None => revoke::current_cutoff(&admin.state).await?,
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
            match revoke::count(admin, &wish).await {
                Ok(counted) => counted,
                // A list of ended sessions has none to end.
                Err(AppError::InvalidInput { .. }) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    };
    let problem = query_param(query, "__err").map(|error| error_from_query(&error));
    let asks_password = reauthentication::is_required(&admin.state, &admin.caller)
        || matches!(problem, Some(AppError::ReauthRequired));
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
