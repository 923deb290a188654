//! What administrators see and do. The pages are drawn on the server (`server::drawn`).

#![allow(clippy::too_many_arguments, reason = "the fields of a form")]

use leptos::prelude::*;
use serde::{Deserialize, Serialize};

use super::{client::KeptClient, wire::TextJson};
use crate::error::AppError;
#[cfg(feature = "ssr")]
use crate::{
    domain::next::safe_path,
    server::{
        auth::current_session::CurrentSession,
        drawn,
        services::{
            admin::{Reach, people, revoke},
            alerts,
            step_up::{self, Allowed},
        },
        state::AppState,
        store::audit::Actor,
    },
    server_fns::border,
};

/// What came of a form of an administrator's page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// For the person to read.
    pub message: String,
    /// Where the page goes.
    pub next: String,
    /// Sessions that this request ended.
    pub ended: usize,
    /// Sessions that are left: send the same again.
    pub left: usize,
}

/// Draws the administrator's page at that path and query; without one, that of the request.
#[server(DrawAdmin, prefix = "/api", endpoint = "draw_admin", output = TextJson, client = KeptClient)]
pub async fn draw_admin(#[server(default)] place: Option<String>) -> Result<String, AppError> {
    border::answer(async {
        let (state, caller) = (border::state()?, border::signed_in()?);
        let place = place.or_else(border::place).ok_or(AppError::NotFound)?;
        let (path, query) = place.split_once('?').unwrap_or((place.as_str(), ""));
        let reach = Reach::require(&state, &caller, &border::client()?).await?;
        match path {
            drawn::sessions::PATH => gather::sessions(&state, &caller, reach, query).await,
            drawn::audit::PATH => gather::audit(&state, &caller, reach, query).await,
            drawn::health::PATH => gather::health(&state, &caller, reach, query).await,
            _ => Err(AppError::NotFound),
        }
    })
    .await
}

/// Ends sessions: one, all of a person or all that a filter lists, as `which` says. Many take more than one request.
#[server(AdminEndSessions, prefix = "/api", endpoint = "admin_end_sessions", output = TextJson, client = KeptClient)]
pub async fn admin_end_sessions(
    which: String,
    #[server(default)] filter: Option<String>,
    #[server(default)] session_id: String,
    #[server(default)] user_id: String,
    begun_by: String,
    #[server(default)] reason: String,
    #[server(default)] own_too: Option<String>,
    #[server(default)] password: Option<String>,
    #[server(default)] next: String,
) -> Result<Done, AppError> {
    border::answer(async {
        let admin = Admin::require().await?;
        let wish = revoke::Wish {
            which: read::which(&which, filter.as_deref(), &session_id, &user_id)?,
            begun_by: read::time(&begun_by)?,
            note: revoke::note(&reason)?,
            own_too: own_too.is_some(),
        };
        let allowed = admin.step_up(password).await?;
        let ended = revoke::end(&admin.state, &admin.caller, admin.reach, &wish, admin.actor).await?;
        border::renew(&admin.caller, allowed).await?;
        let path = read::page(&next);
        let path = if ended.left > 0 {
            read::go_on(&path, &which, &begun_by, ended.ended)
        } else {
            path
        };
        Ok(admin.done(words::ended(&ended), "ended", path, ended.ended, ended.left))
    })
    .await
}

/// Lets someone sign in no more, and ends their sessions.
#[server(AdminDisablePerson, prefix = "/api", endpoint = "admin_disable_person", output = TextJson, client = KeptClient)]
pub async fn admin_disable_person(
    user_id: String,
    #[server(default)] password: Option<String>,
    #[server(default)] next: String,
) -> Result<Done, AppError> {
    border::answer(async {
        let admin = Admin::require().await?;
        let user = user_id.parse().map_err(|_| AppError::NotFound)?;
        let allowed = admin.step_up(password).await?;
        let ended = people::disable(&admin.state, &admin.caller, admin.reach, user, admin.actor).await?;
        border::renew(&admin.caller, allowed).await?;
        Ok(admin.done(
            words::DISABLED.to_owned(),
            "disabled",
            read::page(&next),
            ended,
            0,
        ))
    })
    .await
}

/// Lets someone sign in again.
#[server(AdminEnablePerson, prefix = "/api", endpoint = "admin_enable_person", output = TextJson, client = KeptClient)]
pub async fn admin_enable_person(
    user_id: String,
    #[server(default)] password: Option<String>,
    #[server(default)] next: String,
) -> Result<Done, AppError> {
    border::answer(async {
        let admin = Admin::require().await?;
        let user = user_id.parse().map_err(|_| AppError::NotFound)?;
        let allowed = admin.step_up(password).await?;
        people::enable(&admin.state, &admin.caller, admin.reach, user, admin.actor).await?;
        border::renew(&admin.caller, allowed).await?;
        Ok(admin.done(words::ENABLED.to_owned(), "enabled", read::page(&next), 0, 0))
    })
    .await
}

/// Has someone choose a new password at their next sign-in, and signs them out everywhere.
#[server(AdminRequirePassword, prefix = "/api", endpoint = "admin_require_password", output = TextJson, client = KeptClient)]
pub async fn admin_require_password(
    user_id: String,
    #[server(default)] password: Option<String>,
    #[server(default)] next: String,
) -> Result<Done, AppError> {
    border::answer(async {
        let admin = Admin::require().await?;
        let user = user_id.parse().map_err(|_| AppError::NotFound)?;
        let allowed = admin.step_up(password).await?;
        let ended =
            people::require_password_change(&admin.state, &admin.caller, admin.reach, user, admin.actor)
                .await?;
        border::renew(&admin.caller, allowed).await?;
        Ok(admin.done(
            words::ASKED.to_owned(),
            "password_asked",
            read::page(&next),
            ended,
            0,
        ))
    })
    .await
}

/// Gives someone another role, in an organization or, for whoever belongs to none, outside any.
#[server(AdminChangeRole, prefix = "/api", endpoint = "admin_change_role", output = TextJson, client = KeptClient)]
pub async fn admin_change_role(
    user_id: String,
    role: String,
    #[server(default)] organization_id: Option<String>,
    #[server(default)] password: Option<String>,
    #[server(default)] next: String,
) -> Result<Done, AppError> {
    border::answer(async {
        let admin = Admin::require().await?;
        let user = user_id.parse().map_err(|_| AppError::NotFound)?;
        let role = role
            .parse()
            .map_err(|_| AppError::invalid("role", "Choose a role."))?;
        let organization = organization_id.filter(|id| !id.is_empty());
        let organization = organization
            .map(|id| id.parse())
            .transpose()
            .map_err(|_| AppError::NotFound)?;
        let allowed = admin.step_up(password).await?;
        people::set_role(
            &admin.state,
            &admin.caller,
            admin.reach,
            user,
            organization,
            role,
            admin.actor,
        )
        .await?;
        border::renew(&admin.caller, allowed).await?;
        Ok(admin.done(words::ROLE.to_owned(), "role_changed", read::page(&next), 0, 0))
    })
    .await
}

/// Has the webhook of the alerts told that this is a test.
#[server(AdminTestAlerts, prefix = "/api", endpoint = "admin_test_alerts", output = TextJson, client = KeptClient)]
pub async fn admin_test_alerts(#[server(default)] password: Option<String>) -> Result<Done, AppError> {
    border::answer(async {
        let admin = Admin::require().await?;
        // Alerts are about the whole portal.
        if admin.reach.organization.is_some() {
            return Err(AppError::Forbidden);
        }
        let allowed = admin.step_up(password).await?;
        alerts::send_test(&admin.state, admin.actor).await?;
        border::renew(&admin.caller, allowed).await?;
        Ok(admin.done(
            words::TEST.to_owned(),
            "test_sent",
            drawn::health::PATH.to_owned(),
            0,
            0,
        ))
    })
    .await
}

/// An administrator at work.
#[cfg(feature = "ssr")]
struct Admin {
    state: AppState,
    caller: std::sync::Arc<CurrentSession>,
    reach: Reach,
    actor: Actor,
}

#[cfg(feature = "ssr")]
impl Admin {
    async fn require() -> Result<Self, AppError> {
        let (state, caller, client) = (border::state()?, border::signed_in()?, border::client()?);
        let reach = Reach::require(&state, &caller, &client).await?;
        let actor = client.actor(&caller);
        Ok(Self {
            state,
            caller,
            reach,
            actor,
        })
    }

    /// The question has the password's field with it where one is needed: there is no page of its own to lead to.
    async fn step_up(&self, password: Option<String>) -> Result<Allowed, AppError> {
        step_up::require(&self.state, &self.caller, password, &border::client()?).await
    }

    fn done(&self, message: String, code: &str, next: String, ended: usize, left: usize) -> Done {
        if left == 0 {
            let mark = if next.contains('?') { '&' } else { '?' };
            border::then_go_to(&format!("{next}{mark}done={code}"));
        } else {
            border::then_go_to(&next);
        }
        Done {
            message,
            next,
            ended,
            left,
        }
    }
}

/// What people read of what was done.
#[cfg(feature = "ssr")]
mod words {
    use crate::domain::{review::Ended, time::plural};

    pub const DISABLED: &str = "The account is disabled, and signed out everywhere.";
    pub const ENABLED: &str = "The account can sign in again.";
    pub const ASKED: &str = "They are signed out everywhere, and choose a new password when they sign in.";
    pub const TEST: &str = "A test alert is on its way. What becomes of it is shown here.";
    pub const ROLE: &str = "The role has been changed. It holds from now on.";

    pub fn ended(ended: &Ended) -> String {
        let count = |n: usize| plural(i64::try_from(n).unwrap_or(i64::MAX), "session");
        match (ended.ended, ended.left) {
            (0, 0) => "There was nothing to end any more.".to_owned(),
            (n, 0) => format!("{} ended.", count(n)),
            (n, left) => format!("{} ended, {} left.", count(n), count(left)),
        }
    }

    /// By code only: anyone can write an address.
    pub fn of(code: &str) -> Option<&'static str> {
        Some(match code {
            "ended" => "The sessions have been ended.",
            "disabled" => DISABLED,
            "enabled" => ENABLED,
            "password_asked" => ASKED,
            "role_changed" => ROLE,
            "test_sent" => TEST,
            _ => return None,
        })
    }
}

/// What the forms send.
#[cfg(feature = "ssr")]
mod read {
    use chrono::{DateTime, Utc};

    use super::{drawn::sessions::PATH, safe_path};
    use crate::{
        domain::{next::form_value, review::Which, session_filter::SessionFilter, time::parse_rfc3339},
        error::AppError,
    };

    pub fn which(which: &str, filter: Option<&str>, session: &str, user: &str) -> Result<Which, AppError> {
        Ok(match which {
            "end_listed" => {
                // A missing or misspelt one must not end everything; an empty one is everything on purpose.
                let filter =
                    filter.ok_or_else(|| AppError::invalid("filter", "Say which sessions to end."))?;
                let names = filter.split('&').filter(|pair| !pair.is_empty());
                let mut names = names.map(|pair| pair.split('=').next().unwrap_or_default());
                if names.any(|name| !SessionFilter::FIELDS.contains(&name)) {
                    return Err(AppError::invalid(
                        "filter",
                        "There is a name in it that is no filter.",
                    ));
                }
                Which::Listed(SessionFilter::read(|name| form_value(filter, name))?)
            }
            "end_one" => Which::Sessions(vec![session.parse().map_err(|_| AppError::NotFound)?]),
            "end_person" => Which::OfPerson(user.parse().map_err(|_| AppError::NotFound)?),
            _ => return Err(AppError::invalid("which", "Say which sessions to end.")),
        })
    }

    pub fn time(text: &str) -> Result<DateTime<Utc>, AppError> {
        parse_rfc3339(text).ok_or_else(|| AppError::invalid("begun_by", "Send a time."))
    }

    /// Back to the list, whatever the form says.
    pub fn page(next: &str) -> String {
        let own = |path: &&str| path.split('?').next() == Some(PATH);
        safe_path(next).filter(own).unwrap_or(PATH).to_owned()
    }

    /// The question once more, for what is left.
    pub fn go_on(page: &str, which: &str, begun_by: &str, ended: usize) -> String {
        let mark = if page.contains('?') { '&' } else { '?' };
        let which = if which == "end_listed" {
            "end_listed"
        } else {
            "end_person"
        };
        format!("{page}{mark}ask={which}&begun_by={begun_by}&ended={ended}")
    }
}

/// What is drawn, put together.
#[cfg(feature = "ssr")]
mod gather {
    use leptos::server_fn::error::ServerFnUrlError;

    use super::{AppState, CurrentSession, Reach, people, revoke, step_up, words};
    use crate::{
        domain::{
            next::form_value,
            review::{Person, ReviewedSession, State, Which},
            session_filter::{SessionFilter, Sort},
            time::parse_rfc3339,
        },
        error::AppError,
        server::{
            drawn::{
                audit as audit_drawing,
                ending::Question,
                health as health_drawing,
                sessions::{self as drawing, Asks, Drawing, Open, Place},
            },
            health::Health,
            services::{
                admin::{audit_log, sessions, timeline},
                alerts, insight,
            },
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
        let done = form_value(query, "done");
        let outcome = done
            .as_deref()
            .and_then(words::of)
            .map(|text| (Tone::Success, text.to_owned()));
        Ok(drawing::draw(Drawing {
            place,
            problem,
            outcome,
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
        let done = form_value(query, "done");
        Ok(health_drawing::draw(health_drawing::Drawing {
            place,
            organization: name_of(reach, caller),
            insight,
            whole,
            outcome: done
                .as_deref()
                .and_then(words::of)
                .map(|text| (Tone::Success, text.to_owned())),
            now,
        }))
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
        id: crate::domain::ids::SessionId,
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
        let problem =
            form_value(query, "__err").map(|error| ServerFnUrlError::<AppError>::decode_err(&error));
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
}
