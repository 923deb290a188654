//! `/dashboard/admin/sessions`: the list with its filter, the panel of one session, the question before an end.

use chrono::{DateTime, Utc};
use leptos::prelude::*;

use super::{
    drawn,
    ending::{self, Asks, Behind, Question},
    panel::{self, Panel},
    person::OfPerson,
    tabs,
    words::{self, address, age, no_filter, notice, number, select, until},
};
use domain::{
    admin::{AdminSession, SessionStatus, TimelineEntry},
    ids::{SessionId, UserId},
    query::{find_query_error, query_param},
    session::{ClientKind, EndReason},
    session_filter::{SessionAge, SessionFilter, SessionSort, StateFilter, SuspicionFilter},
    user::Role,
};

use crate::{
    elements::{
        icon::{Icon, IconName},
        notice::Tone,
    },
    server::services::admin::sessions::Page,
};

pub const PATH: &str = "/dashboard/admin/sessions";

/// What the address asks for.
#[derive(Clone, Debug)]
pub struct Place {
    pub filter: SessionFilter,
    pub sort: SessionSort,
    /// Where the page begins, as in the API.
    pub after: String,
    /// The session whose panel is open.
    pub session: Option<SessionId>,
    /// What is about to be done.
    pub asks: Option<Asks>,
}

impl Place {
    /// Reads the query of an address. The second is what in it stands for nothing.
    pub fn read(query: &str) -> (Self, Option<String>) {
        let get = |name: &str| query_param(query, name);
        let mut problem = None;
        let mut noted = |unknown| problem = Some(no_filter(&unknown, &[]));
        let filter = SessionFilter::parse(get).unwrap_or_else(|unknown| {
            noted(unknown);
            SessionFilter::default()
        });
        let sort = SessionSort::parse(get("sort").as_deref()).unwrap_or_else(|unknown| {
            noted(unknown);
            SessionSort::default()
        });
        const OTHERS: [&str; 7] = ["sort", "after", "session", "ask", "begun_by", "__path", "__err"];
        let problem = problem.or_else(|| {
            find_query_error(query, &SessionFilter::FIELDS, &OTHERS).map(|error| error.to_string())
        });
        let place = Self {
            filter,
            sort,
            after: get("after").unwrap_or_default(),
            session: get("session").and_then(|id| id.parse().ok()),
            asks: Asks::read(query),
        };
        (place, problem)
    }

    /// The address of this state of the page.
    pub fn address(&self) -> String {
        let mut pairs = self.filter.pairs();
        if self.sort != SessionSort::default() {
            pairs.push(("sort", self.sort.as_str().to_owned()));
        }
        pairs.push(("after", self.after.clone()));
        pairs.push((
            "session",
            self.session.map(|id| id.to_string()).unwrap_or_default(),
        ));
        pairs.push((
            "ask",
            self.asks.map(|asks| asks.as_str().to_owned()).unwrap_or_default(),
        ));
        address(PATH, pairs)
    }

    pub fn asking(&self, asks: Option<Asks>) -> Self {
        Self { asks, ..self.clone() }
    }

    pub fn showing(&self, session: Option<SessionId>) -> Self {
        Self {
            session,
            asks: None,
            ..self.clone()
        }
    }

    /// Every session of someone, live and ended.
    pub fn of_person(user: UserId) -> Self {
        Self {
            filter: SessionFilter {
                user: Some(user),
                state: Some(StateFilter::All),
                ..SessionFilter::default()
            },
            sort: SessionSort::default(),
            after: String::new(),
            session: None,
            asks: None,
        }
    }

    /// What stands behind a question.
    fn behind(&self) -> Behind {
        let cancel = self.asking(None);
        let next = match self.asks {
            Some(Asks::EndListed) => self.showing(None),
            _ => cancel.clone(),
        };
        Behind {
            cancel: cancel.address(),
            next: next.address(),
            listed: Some(self.filter.clone()),
            session: self.session,
        }
    }
}

/// Everything that is drawn.
pub struct Drawing {
    pub place: Place,
    /// What in the address could not be read.
    pub problem: Option<String>,
    /// The filter could not be read, and nothing is listed.
    pub is_unread: bool,
    /// What was done before the page came, without JavaScript.
    pub outcome: Option<(Tone, String)>,
    /// Whose people: the organization's name, or `None` for everyone.
    pub organization: Option<String>,
    pub page: Page,
    pub panel: Option<Open>,
    pub question: Option<Question>,
    pub now: DateTime<Utc>,
}

/// The session whose panel is open.
pub struct Open {
    pub session: AdminSession,
    pub timeline: Vec<TimelineEntry>,
    /// With their other live sessions.
    pub person: OfPerson,
}

/// Draws the page.
pub fn draw(drawing: Drawing) -> String {
    let Drawing {
        place,
        problem,
        is_unread,
        outcome,
        organization,
        page,
        panel,
        question,
        now,
    } = drawing;
    let whose = match &organization {
        Some(name) => format!("Everyone who belongs to {name}, wherever they are signed in."),
        None => "Everyone, in every organization.".to_owned(),
    };
    let is_open = panel.is_some();
    let panel = panel.map(|open| {
        panel::draw(Panel {
            open,
            place: &place,
            now,
        })
    });
    drawn(view! {
        <header class="page-head">
            <h1>"Sessions"</h1>
            <p class="lead">{whose}</p>
        </header>
        {tabs(PATH)}
        {problem.map(|problem| notice(Tone::Warning, problem))}
        {outcome.map(|(tone, text)| notice(tone, text))}
        <div class=if is_open { "review with-panel" } else { "review" }>
            <section class="card" aria-labelledby="list-title">
                {filter_form(&place, organization.is_none())}
                {list_head(&place, &page)}
                {list(&place, &page, is_unread, now)}
                {pages(&place, &page)}
            </section>
            {panel}
        </div>
        {question.map(|question| ending::draw(question, place.behind()))}
    })
}

fn filter_form(place: &Place, is_of_everyone: bool) -> AnyView {
    let Place { filter, sort, .. } = place;
    let kinds = vec![("browser", "Browsers"), ("desktop", "Desktops")];
    let roles = words::roles(is_of_everyone);
    let states = StateFilter::ALL
        .iter()
        .filter(|state| **state != StateFilter::default())
        .map(|state| (state.as_str(), state.label()))
        .collect();
    let ages = SessionAge::ALL
        .iter()
        .map(|age| (age.as_str(), age.label()))
        .collect();
    let suspicions = SuspicionFilter::ALL
        .iter()
        .map(|each| (each.as_str(), each.label()))
        .collect();
    let reasons = EndReason::ALL
        .iter()
        .filter(|reason| !reason.is_never_recorded())
        .map(|reason| (reason.as_str(), reason.label()))
        .collect();
    let sorts = SessionSort::ALL
        .iter()
        .filter(|sort| **sort != SessionSort::default())
        .map(|sort| (sort.as_str(), sort.label()))
        .collect();
    let asks_reason = filter.effective_state() != StateFilter::Live;
    let user = filter.user.map(|user| {
        let user = user.to_string();
        let without = Place {
            filter: SessionFilter {
                user: None,
                ..filter.clone()
            },
            after: String::new(),
            ..place.clone()
        };
        view! {
            <input type="hidden" name="user" value=user />
            <p class="only-person">
                "Sessions of one person. "
                <a href=without.address() data-noscroll="">
                    "Show everyone"
                </a>
            </p>
        }
    });
    view! {
        <form class="filter" role="search" method="get" action=PATH data-live="">
            <div class="field search">
                <label for="filter-q">"Search"</label>
                <input
                    class="input"
                    id="filter-q"
                    type="search"
                    name="q"
                    value=filter.q.clone().unwrap_or_default()
                    maxlength="120"
                    autocomplete="off"
                    placeholder="Name, email, desktop, address"
                />
            </div>
            {select("kind", "Kind", Some("Any"), kinds, filter.kind.map(ClientKind::as_str).unwrap_or_default())}
            {select("role", "Role", Some("Any"), roles, filter.role.map(Role::as_str).unwrap_or_default())}
            {select("state", "State", Some(StateFilter::default().label()), states, filter.effective_state().as_str())}
            {asks_reason
                .then(|| {
                    let chosen = filter.reason.map(EndReason::as_str).unwrap_or_default();
                    select("reason", "Reason", Some("Any"), reasons, chosen)
                })}
            {select("age", "Began", Some("Any time"), ages, filter.age.map(SessionAge::as_str).unwrap_or_default())}
            {select(
                "suspicion",
                "Suspicion",
                Some("Any"),
                suspicions,
                filter.suspicion.map(SuspicionFilter::as_str).unwrap_or_default(),
            )}
            {select("sort", "Order", Some(SessionSort::default().label()), sorts, sort.as_str())}
            {user}
            <div class="filter-foot actions">
                <button class="button small" type="submit">
                    "Show"
                </button>
                <a class="button small quiet" href=PATH data-noscroll="">
                    "Clear"
                </a>
            </div>
        </form>
    }
    .into_any()
}

fn list_head(place: &Place, page: &Page) -> AnyView {
    let total = format!(
        "{} {}",
        number(page.total),
        if page.total == 1 { "session" } else { "sessions" }
    );
    let mut export = place.filter.pairs();
    if place.sort != SessionSort::default() {
        export.push(("sort", place.sort.as_str().to_owned()));
    }
    let export = address("/api/v1/admin/sessions.csv", export);
    let may_end = page.total > 0 && place.filter.lists_only_live();
    let end = may_end.then(|| {
        view! {
            <a
                class="button small danger"
                id="end-listed"
                href=place.showing(None).asking(Some(Asks::EndListed)).address()
                data-noscroll=""
            >
                "End all of these…"
            </a>
        }
    });
    view! {
        <header class="card-head">
            <h2 id="list-title" tabindex="-1">
                <span role="status">{total}</span>
            </h2>
            <div class="card-aside actions">
                {(page.total > 0)
                    .then(|| {
                        view! {
                            <a class="button small" href=export rel="external" download="">
                                "Export as CSV"
                            </a>
                        }
                    })} {end}
            </div>
        </header>
    }
    .into_any()
}

fn list(place: &Place, page: &Page, is_unread: bool, now: DateTime<Utc>) -> AnyView {
    if page.sessions.is_empty() {
        let words = if is_unread {
            "Nothing is listed for a filter that cannot be read."
        } else if place.filter.pairs().is_empty() {
            "Nobody is signed in. Sessions appear here as soon as somebody signs in."
        } else if place.after.is_empty() {
            "No session fits this filter. Try fewer conditions, or look at ended sessions as well."
        } else {
            "There is nothing more."
        };
        return view! {
            <div class="card-body">
                <p class="soft">{words}</p>
            </div>
        }
        .into_any();
    }
    let rows = page
        .sessions
        .iter()
        .map(|session| row(place, session, now))
        .collect::<Vec<_>>();
    view! {
        <table class="table stacks">
            <caption class="visually-hidden">{place.filter.describe()}</caption>
            <thead>
                <tr>
                    <th scope="col">"Person"</th>
                    <th scope="col">"Device"</th>
                    <th scope="col">"Address"</th>
                    <th scope="col">"Began"</th>
                    <th scope="col">"Last active"</th>
                    <th scope="col">"State"</th>
                </tr>
            </thead>
            <tbody>{rows}</tbody>
        </table>
    }
    .into_any()
}

fn row(place: &Place, reviewed: &AdminSession, now: DateTime<Utc>) -> AnyView {
    let AdminSession { session, user, .. } = reviewed;
    let is_open = place.session == Some(session.id);
    let device = [session.browser.clone(), session.os.clone()]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(" · ");
    view! {
        <tr class=if is_open { "chosen" } else { "" }>
            <th scope="row">
                <bdi class="person">{user.display_name.clone()}</bdi>
                <span class="soft small">{user.email.clone()}</span>
                <span class="soft small">{user.role.label()}</span>
            </th>
            <td data-label="Device">
                <a
                    id=format!("session-{}", session.id)
                    class="device"
                    href=place.showing(Some(session.id)).address()
                    data-noscroll=""
                    aria-current=is_open.then_some("true")
                >
                    <Icon name=IconName::of(session) />
                    <bdi>{session.device_name.clone()}</bdi>
                </a>
                <span class="soft small">{device}</span>
                {session.is_current.then(|| view! { <span class="badge accent">"This browser"</span> })}
                {reviewed.is_unusual.then(|| view! { <span class="badge unusual">"Unusual"</span> })}
            </td>
            <td data-label="Address">{session.ip_address.clone()}</td>
            <td data-label="Began">{age(session.created_at, now)}</td>
            <td data-label="Last active">{age(session.last_active_at, now)}</td>
            <td data-label="State">{state(reviewed, now)}</td>
        </tr>
    }
    .into_any()
}

/// Whether it is live, and until when; or why it is not, and since when.
pub fn state(reviewed: &AdminSession, now: DateTime<Utc>) -> AnyView {
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

fn pages(place: &Place, page: &Page) -> AnyView {
    let at = |after: String| Place {
        after,
        session: None,
        asks: None,
        ..place.clone()
    };
    let first = (!place.after.is_empty()).then(|| at(String::new()).address());
    words::pages(first, page.next.as_ref().map(|next| at(next.to_text()).address()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_state_round_trips_through_the_url() {
        let query =
            "kind=browser&sort=person&after=abc&session=6b1ad9b3-54f4-4bd0-9b3a-1c8ad6f3b9b1&ask=end_person";
        let (place, problem) = Place::read(query);
        assert_eq!((place.address(), problem), (format!("{PATH}?{query}"), None));
        let (place, problem) = Place::read("kind=phone&ask=nothing");
        assert_eq!((place.asks, place.filter), (None, SessionFilter::default()));
        assert!(problem.is_some_and(|problem| problem.contains("kind")));
    }
}
