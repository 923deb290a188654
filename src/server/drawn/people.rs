//! `/dashboard/admin/people`: everyone in reach, whether they have ever signed in or not; one of them in the panel.

use chrono::{DateTime, Utc};
use leptos::prelude::*;

use super::{
    drawn,
    ending::{self, Asks, Behind, Question},
    person::{self, Links, OfPerson, roles},
    sessions, tabs,
    words::{self, address, age, no_filter, notice, number, select},
};
use domain::{
    admin::{LastActive, ListedUser},
    ids::UserId,
    people_filter::{AccountStatus, PeopleFilter},
    query::{find_query_error, query_param},
    time::pluralize,
    user::Role,
};

use crate::{
    elements::{
        icon::{Icon, IconName},
        notice::Tone,
    },
    server::services::admin::people_list::Page,
};

pub const PATH: &str = "/dashboard/admin/people";

/// What the address asks for.
#[derive(Clone, Debug)]
pub struct Place {
    pub filter: PeopleFilter,
    /// Where the page begins.
    pub after: String,
    /// The person whose panel is open.
    pub person: Option<UserId>,
    /// What is about to be done to them.
    pub asks: Option<Asks>,
}

impl Place {
    /// Reads the query of an address. The second is what in it stands for nothing.
    pub fn read(query: &str) -> (Self, Option<String>) {
        const OTHERS: [&str; 6] = ["after", "person", "ask", "begun_by", "__path", "__err"];
        let get = |name: &str| query_param(query, name);
        let (filter, problem) = match PeopleFilter::parse(get) {
            Ok(filter) => (
                filter,
                find_query_error(query, &PeopleFilter::FIELDS, &OTHERS).map(|error| error.to_string()),
            ),
            Err(unknown) => (PeopleFilter::default(), Some(no_filter(&unknown, &[]))),
        };
        let place = Self {
            filter,
            after: get("after").unwrap_or_default(),
            person: get("person").and_then(|id| id.parse().ok()),
            asks: Asks::read(query).filter(|asks| asks.is_of_person()),
        };
        (place, problem)
    }

    /// The address of this state of the page.
    pub fn address(&self) -> String {
        let mut pairs = self.filter.pairs();
        pairs.push(("after", self.after.clone()));
        pairs.push(("person", self.person.map(|id| id.to_string()).unwrap_or_default()));
        pairs.push((
            "ask",
            self.asks.map(|asks| asks.as_str().to_owned()).unwrap_or_default(),
        ));
        address(PATH, pairs)
    }

    fn asking(&self, asks: Option<Asks>) -> Self {
        Self { asks, ..self.clone() }
    }

    pub fn showing(&self, person: Option<UserId>) -> Self {
        Self {
            person,
            asks: None,
            ..self.clone()
        }
    }

    /// What stands behind a question.
    fn behind(&self) -> Behind {
        let page = self.asking(None).address();
        Behind {
            cancel: page.clone(),
            next: page,
            listed: None,
            session: None,
        }
    }
}

/// Everything that is drawn.
pub struct Drawing {
    pub place: Place,
    /// What in the address could not be read.
    pub problem: Option<String>,
    /// What was done before the page came, without JavaScript.
    pub outcome: Option<(Tone, String)>,
    /// Whose people: the organization's name, or `None` for everyone.
    pub organization: Option<String>,
    /// `None`: the filter could not be read.
    pub page: Option<Page>,
    pub panel: Option<OfPerson>,
    pub question: Option<Question>,
    pub now: DateTime<Utc>,
}

/// Draws the page.
pub fn draw(drawing: Drawing) -> String {
    let Drawing {
        place,
        problem,
        outcome,
        organization,
        page,
        panel,
        question,
        now,
    } = drawing;
    let whose = match &organization {
        Some(name) => format!("Everyone who belongs to {name}, signed in or not."),
        None => "Everyone who has an account, in every organization.".to_owned(),
    };
    let is_unread = page.is_none();
    let page = page.unwrap_or_default();
    let is_open = panel.is_some();
    let panel = panel.map(|of| draw_panel(&of, &place, now));
    drawn(view! {
        <header class="page-head">
            <h1>"People"</h1>
            <p class="lead">{whose}</p>
        </header>
        {tabs(PATH)}
        {problem.map(|problem| notice(Tone::Warning, problem))}
        {outcome.map(|(tone, text)| notice(tone, text))}
        <div class=if is_open { "review with-panel" } else { "review" }>
            <section class="card" aria-labelledby="list-title">
                {filter_form(&place.filter, organization.is_none())}
                <header class="card-head">
                    <h2 id="list-title" tabindex="-1">
                        <span role="status">
                            {if page.total == 1 { "1 person".to_owned() } else { format!("{} people", number(page.total)) }}
                        </span>
                    </h2>
                </header>
                {list(&place, &page, is_unread, now)}
                {pages(&place, &page)}
            </section>
            {panel}
        </div>
        {question.map(|question| ending::draw(question, place.behind()))}
    })
}

fn filter_form(filter: &PeopleFilter, is_of_everyone: bool) -> AnyView {
    let roles = words::roles(is_of_everyone);
    let states = AccountStatus::ALL
        .iter()
        .map(|state| (state.as_str(), state.label()))
        .collect();
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
                    placeholder="Name or email"
                />
            </div>
            {select("role", "Role", Some("Any"), roles, filter.role.map(Role::as_str).unwrap_or_default())}
            {select("state", "State", Some("Any"), states, filter.state.map(AccountStatus::as_str).unwrap_or_default())}
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

fn list(place: &Place, page: &Page, is_unread: bool, now: DateTime<Utc>) -> AnyView {
    if page.people.is_empty() {
        let words = if is_unread {
            "Nobody is listed for a filter that cannot be read."
        } else if place.after.is_empty() {
            "Nobody fits this filter. Try part of a name or of an email, or fewer conditions."
        } else {
            "There is nobody more."
        };
        return view! {
            <div class="card-body">
                <p class="soft">{words}</p>
            </div>
        }
        .into_any();
    }
    let rows = page
        .people
        .iter()
        .map(|listed| row(place, listed, now))
        .collect::<Vec<_>>();
    view! {
        <table class="table stacks">
            <caption class="visually-hidden">{place.filter.describe()}</caption>
            <thead>
                <tr>
                    <th scope="col">"Person"</th>
                    <th scope="col">"Role"</th>
                    <th scope="col">"State"</th>
                    <th scope="col">"Live sessions"</th>
                    <th scope="col">"Last active"</th>
                </tr>
            </thead>
            <tbody>{rows}</tbody>
        </table>
    }
    .into_any()
}

fn row(place: &Place, listed: &ListedUser, now: DateTime<Utc>) -> AnyView {
    let user = &listed.user;
    let is_open = place.person == Some(user.id);
    let roles = roles(user, &listed.memberships)
        .into_iter()
        .map(|role| view! { <span class="line">{role}</span> })
        .collect::<Vec<_>>();
    let state = match listed.status {
        AccountStatus::Active => view! { <span>{AccountStatus::Active.label()}</span> }.into_any(),
        other => view! { <span class="badge">{other.label()}</span> }.into_any(),
    };
    let live = match listed.live {
        0 => view! { <span class="soft">"None"</span> }.into_any(),
        live => {
            let live = i64::try_from(live).unwrap_or(i64::MAX);
            view! {
                <a href=address(sessions::PATH, [("user", user.id.to_string())]) rel="external">
                    {pluralize(live, "session")}
                    <span class="visually-hidden">" of " <bdi>{user.display_name.clone()}</bdi></span>
                </a>
            }
            .into_any()
        }
    };
    let last_active = match listed.last_active {
        LastActive::At(at) => age(at, now),
        LastActive::BeforeRetention => {
            view! { <span class="soft">"Longer ago than sessions are kept"</span> }.into_any()
        }
        LastActive::Never => view! { <span class="soft">"Never signed in"</span> }.into_any(),
    };
    view! {
        <tr class=if is_open { "chosen" } else { "" }>
            <th scope="row">
                <a
                    id=format!("person-{}", user.id)
                    class="person"
                    href=place.showing(Some(user.id)).address()
                    data-noscroll=""
                    aria-current=is_open.then_some("true")
                >
                    <bdi>{user.display_name.clone()}</bdi>
                </a>
                <span class="soft small">{user.email.clone()}</span>
            </th>
            <td data-label="Role">{roles}</td>
            <td data-label="State">{state}</td>
            <td data-label="Live sessions">{live}</td>
            <td data-label="Last active">{last_active}</td>
        </tr>
    }
    .into_any()
}

fn pages(place: &Place, page: &Page) -> AnyView {
    let at = |after: String| {
        let place = Place {
            after,
            ..place.showing(None)
        };
        place.address()
    };
    let first = (!place.after.is_empty()).then(|| at(String::new()));
    words::pages(first, page.next.as_ref().map(|next| at(next.to_text())))
}

fn draw_panel(of: &OfPerson, place: &Place, now: DateTime<Utc>) -> AnyView {
    let user = &of.person.user;
    let (asking, session) = (
        |asks| place.asking(Some(asks)).address(),
        |session| {
            sessions::Place::of_person(user.id)
                .showing(Some(session))
                .address()
        },
    );
    let links = Links {
        asking: &asking,
        session: &session,
        is_same_page: false,
    };
    let live = match of.live {
        0 => "Live sessions".to_owned(),
        live => format!("Live sessions ({})", number(live)),
    };
    view! {
        <aside class="card session-panel" aria-labelledby="panel-title">
            <header class="card-head">
                <h2 id="panel-title" tabindex="-1" data-focus=format!("person-{}", user.id)>
                    <bdi>{user.display_name.clone()}</bdi>
                </h2>
                <a
                    class="button small quiet square"
                    href=place.showing(None).address()
                    data-noscroll=""
                    data-close=""
                    aria-label="Close the details"
                >
                    <Icon name=IconName::Close />
                </a>
            </header>
            <section class="panel-part" aria-label="Account">
                {person::facts(of)}
                <h3>{live}</h3>
                {person::sessions(of, links, "Signed in nowhere.", now)}
                {person::actions(of, links)}
            </section>
        </aside>
    }
    .into_any()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_state_round_trips_through_the_url() {
        let query = "q=kim&role=broker&state=new_password&after=abc&person=6b1ad9b3-54f4-4bd0-9b3a-1c8ad6f3b9b1&ask=disable";
        let (place, problem) = Place::read(query);
        assert_eq!((place.address(), problem), (format!("{PATH}?{query}"), None));
        // What is about sessions is asked on their own page.
        for query in ["ask=end_one", "ask=end_listed", "ask=nothing"] {
            assert_eq!(Place::read(query).0.asks, None, "{query}");
        }
        for query in ["state=gone", "rolle=broker", "session=1"] {
            let (place, problem) = Place::read(query);
            assert_eq!(place.filter, PeopleFilter::default());
            assert!(
                problem.is_some_and(|problem| problem.contains("in the address is")),
                "{query}"
            );
        }
    }
}
