//! The question before anything is ended or changed: what exactly, how many, why, and the password if it was last entered
//! long ago.

use leptos::prelude::*;

use domain::{
    admin::{AdminUser, Cutoff},
    admin_permission::{AdminAction, assignable_roles},
    ids::SessionId,
    organization::Membership,
    query::query_param,
    session_filter::SessionFilter,
    user::Role,
};

use super::words::{name, notice, number};
use crate::{
    elements::{
        icon::{Icon, IconName},
        notice::Tone,
    },
    error::AppError,
};

/// What the question over the page is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asks {
    EndOne,
    EndOfPerson,
    EndListed,
    Disable,
    Enable,
    RequirePassword,
    ChangeRole,
}

impl Asks {
    const ALL: [Self; 7] = [
        Asks::EndOne,
        Asks::EndOfPerson,
        Asks::EndListed,
        Asks::Disable,
        Asks::Enable,
        Asks::RequirePassword,
        Asks::ChangeRole,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Asks::EndOne => "end_one",
            Asks::EndOfPerson => "end_person",
            Asks::EndListed => "end_listed",
            Asks::Disable => "disable",
            Asks::Enable => "enable",
            Asks::RequirePassword => "require_password",
            Asks::ChangeRole => "change_role",
        }
    }

    /// Reads the query of an address.
    pub fn read(query: &str) -> Option<Self> {
        let asks = query_param(query, "ask")?;
        Self::ALL.into_iter().find(|each| each.as_str() == asks)
    }

    /// What it does to the user.
    pub fn action(self) -> AdminAction {
        match self {
            Self::EndOne | Self::EndOfPerson | Self::EndListed => AdminAction::RevokeSessions,
            Self::Disable => AdminAction::Disable,
            Self::Enable => AdminAction::Enable,
            Self::RequirePassword => AdminAction::RequirePasswordChange,
            Self::ChangeRole => AdminAction::ChangeRole,
        }
    }

    /// Whether sessions are ended, and nothing else is done.
    pub fn is_end(self) -> bool {
        matches!(self, Self::EndOne | Self::EndOfPerson | Self::EndListed)
    }

    /// Whether it is about a person, whatever list they stand in.
    pub fn is_of_person(self) -> bool {
        !matches!(self, Self::EndOne | Self::EndListed)
    }
}

/// The page that a question stands over.
pub struct Behind {
    /// Its address without the question.
    pub cancel: String,
    /// Where it goes when all is done.
    pub next: String,
    /// Which sessions it lists, if it lists any.
    pub listed: Option<SessionFilter>,
    pub session: Option<SessionId>,
}

/// What is asked.
pub struct Question {
    pub asks: Asks,
    /// Live sessions that would end, the asker's own aside.
    pub count: usize,
    /// The asker's own session is among them.
    pub with_own: bool,
    /// The device of the one session.
    pub device: Option<String>,
    pub person: Option<AdminUser>,
    pub memberships: Vec<Membership>,
    /// Sessions that began later stay.
    pub until: Cutoff,
    pub asks_password: bool,
    /// Why the last try did nothing, without JavaScript.
    pub problem: Option<AppError>,
    /// How many the last try ended, where it did not come to the end.
    pub ended_before: usize,
}

/// Draws the dialog.
pub fn draw(question: Question, behind: Behind) -> AnyView {
    let Words {
        title,
        text,
        button,
        action,
        final_class,
    } = words(&question, &behind);
    let is_end = question.asks.is_end();
    let nothing_to_do = is_end && question.count == 0 && !question.with_own;
    let reason = is_end.then(|| {
        view! {
            <div class="field">
                <label for="ask-reason">"Reason, for the people to read"</label>
                <input class="input" id="ask-reason" name="reason" maxlength="200" autocomplete="off" />
                <p class="field-hint">"They read “An administrator ended your session.” and this. It may stay empty."</p>
            </div>
        }
    });
    let own = (is_end && question.with_own).then(|| {
        view! {
            <label class="option">
                <input type="checkbox" name="own_too" value="on" required=question.count == 0 />
                <span>
                    "My own session too"
                    <span class="field-hint">
                        "This browser is among them. Without this it stays signed in; with it you have to sign in again."
                    </span>
                </span>
            </label>
        }
    });
    let password = view! {
        <div class="field" data-password="" hidden=!question.asks_password>
            <label for="ask-password">"Your password"</label>
            <input
                class="input"
                id="ask-password"
                name="password"
                type="password"
                autocomplete="current-password"
                required=question.asks_password
            />
            <p class="field-hint">"You entered it some time ago, so we ask again."</p>
        </div>
    };
    let problem = question.problem.as_ref().map(|error| {
        view! {
            {notice(Tone::Error, told(error))}
        }
    });
    let before = (question.ended_before > 0).then(|| {
        notice(
            Tone::Info,
            format!(
                "{} ended so far, {} left. Go on to end the rest.",
                number(i64::try_from(question.ended_before).unwrap_or(i64::MAX)),
                number(i64::try_from(question.count).unwrap_or(i64::MAX))
            ),
        )
    });
    let session = behind.session.map(|id| id.to_string()).unwrap_or_default();
    let filter = behind.listed.as_ref().map(SessionFilter::explicit_query);
    let user = question
        .person
        .as_ref()
        .map(|person| person.user.id.to_string())
        .unwrap_or_default();
    let max = question.count.to_string();
    view! {
        <dialog class="dialog fragment-dialog" open data-modal="" aria-labelledby="ask-title" aria-describedby="ask-text">
            <form method="post" action=action data-send="">
                <h2 id="ask-title">{title}</h2>
                <div class="dialog-body">
                    <p id="ask-text">{text}</p>
                    {before}
                    <input type="hidden" name="which" value=question.asks.as_str() />
                    {filter.map(|filter| view! { <input type="hidden" name="filter" value=filter /> })}
                    <input type="hidden" name="session_id" value=session />
                    <input type="hidden" name="user_id" value=user />
                    <input type="hidden" name="begun_by" value=question.until.to_string() />
                    <input type="hidden" name="next" value=behind.next />
                    {(question.asks == Asks::ChangeRole).then(|| role_field(&question))}
                    {reason}
                    {own}
                    {password}
                    <div role="alert" data-problem="">
                        {problem}
                    </div>
                    <div data-progress="" hidden role="status">
                        <progress max=max value="0"></progress>
                        <p></p>
                    </div>
                </div>
                <div class="dialog-foot">
                    <div class="actions end">
                        <a class="button" href=behind.cancel data-noscroll="" data-cancel="">
                            "Cancel"
                        </a>
                        {(!nothing_to_do)
                            .then(|| {
                                view! {
                                    <button class=final_class type="submit">
                                        <span class="idle">{button}</span>
                                        <span class="pending">"One moment…"</span>
                                    </button>
                                }
                            })}
                    </div>
                </div>
            </form>
        </dialog>
    }
    .into_any()
}

/// The question has a password and no email.
fn told(error: &AppError) -> String {
    match error {
        AppError::InvalidCredentials => "The password is wrong. Nothing was done.".to_owned(),
        error => error.message(),
    }
}

struct Words {
    title: AnyView,
    text: AnyView,
    button: String,
    action: &'static str,
    final_class: &'static str,
}

fn words(question: &Question, behind: &Behind) -> Words {
    const END: &str = "/api/admin_end_sessions";
    const DANGER: &str = "button danger final";
    let person = question
        .person
        .as_ref()
        .map(|person| person.user.display_name.as_str())
        .unwrap_or_default();
    let of_person = || name(person);
    let all = question.count + usize::from(question.with_own);
    // The asker's own one ends only where that is ticked too.
    let named = if question.count == 0 { all } else { question.count };
    let sessions = |count: usize| {
        let n = number(i64::try_from(count).unwrap_or(i64::MAX));
        if count == 1 {
            format!("{n} session")
        } else {
            format!("{n} sessions")
        }
    };
    let plain = |text: String| view! { {text} }.into_any();
    let end = |title: AnyView, text: AnyView, button: String| Words {
        title,
        text,
        button,
        action: END,
        final_class: DANGER,
    };
    match question.asks {
        Asks::EndOne => {
            let device = || name(question.device.as_deref().unwrap_or_default());
            let text = if all == 0 {
                plain("This session is over already.".to_owned())
            } else {
                view! { {of_person()} " will have to sign in again on " {device()} ". Unsaved work there may be lost." }.into_any()
            };
            let title = view! { "End the session on " {device()} "?" };
            end(title.into_any(), text, "End session".to_owned())
        }
        Asks::EndOfPerson => {
            let text = if all == 0 {
                view! { {of_person()} " is signed in nowhere." }.into_any()
            } else {
                view! { "This ends " {sessions(named)} " of " {of_person()} ", in every browser and on every desktop." }.into_any()
            };
            let title = view! { "Sign " {of_person()} " out everywhere?" };
            end(title.into_any(), text, format!("End {}", sessions(named)))
        }
        Asks::EndListed => {
            let listed = behind.listed.as_ref().map(SessionFilter::describe);
            let text = view! {
                "This ends exactly what the list shows: " <strong>{listed}</strong>
                {if question.with_own && question.count > 0 { ", without this browser" } else { "" }}
                ". Everyone concerned has to sign in again. Whoever signs in from now on stays."
            };
            end(plain(format!("End {}?", sessions(named))), text.into_any(), format!("End {}", sessions(named)))
        }
        Asks::Disable => Words {
            title: view! { "Disable the account of " {of_person()} "?" }.into_any(),
            text: plain("They are signed out everywhere at once and cannot sign in until you let them again.".to_owned()),
            button: "Disable account".to_owned(),
            action: "/api/admin_disable_person",
            final_class: DANGER,
        },
        Asks::Enable => Words {
            title: view! { "Let " {of_person()} " sign in again?" }.into_any(),
            text: plain("Their password is as it was. Sessions that were ended stay ended.".to_owned()),
            button: "Let sign in again".to_owned(),
            action: "/api/admin_enable_person",
            final_class: "button primary",
        },
        Asks::RequirePassword => Words {
            title: view! { "Ask " {of_person()} " for a new password?" }.into_any(),
            text: plain(
                "They are signed out everywhere and have to choose a new password when they sign in, with the present one."
                    .to_owned(),
            ),
            button: "Ask for a new password".to_owned(),
            action: "/api/admin_require_password",
            final_class: DANGER,
        },
        Asks::ChangeRole => Words {
            title: view! { "Change the role of " {of_person()} }.into_any(),
            text: plain(
                "It holds at once, with its own time limits. Sessions beyond what the new role allows are ended, the least \
                 recently used first."
                    .to_owned(),
            ),
            button: "Change role".to_owned(),
            action: "/api/admin_change_role",
            final_class: "button primary",
        },
    }
}

fn role_field(question: &Question) -> AnyView {
    let roles = |chosen: Role| {
        assignable_roles()
            .map(|role| {
                view! {
                    <option value=role.as_str() selected=role == chosen>
                        {role.label()}
                    </option>
                }
            })
            .collect::<Vec<_>>()
    };
    let now = question
        .person
        .as_ref()
        .map_or(Role::Guest, |person| person.user.role);
    let first = question.memberships.first();
    let places = question
        .memberships
        .iter()
        .map(|membership| {
            let label = format!(
                "{} (now {})",
                membership.organization.name,
                membership.role.label()
            );
            view! { <option value=membership.organization.id.to_string()>{label}</option> }
        })
        .collect::<Vec<_>>();
    let place = match question.memberships.len() {
        0 => ().into_any(),
        1 => {
            let id = first
                .map(|membership| membership.organization.id.to_string())
                .unwrap_or_default();
            view! { <input type="hidden" name="organization_id" value=id /> }.into_any()
        }
        _ => view! {
            <div class="field">
                <label for="ask-organization">"Organization"</label>
                <select class="input" id="ask-organization" name="organization_id">
                    {places}
                </select>
            </div>
        }
        .into_any(),
    };
    view! {
        {place}
        <div class="field">
            <label for="ask-role">"Role"</label>
            <select class="input" id="ask-role" name="role">
                {roles(first.map_or(now, |membership| membership.role))}
            </select>
        </div>
        <p class="caution">
            <Icon name=IconName::AlertTriangle />
            <span>"An administrator sees and ends the sessions of everyone in the organization."</span>
        </p>
    }
    .into_any()
}
