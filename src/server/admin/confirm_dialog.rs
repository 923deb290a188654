//! The confirmation dialog before an action: what it does, to how many sessions, the reason, and the password if the last
//! check is too old.

use leptos::prelude::*;

use domain::{
    admin::{AdminUser, Cutoff},
    admin_permission::assignable_roles,
    ids::SessionId,
    organization::Membership,
    session_filter::SessionFilter,
    user::Role,
};

use super::{
    html::{name, notice, number},
    pending_action::PendingAction,
};
use crate::{
    elements::{
        icon::{Icon, IconName},
        notice::Tone,
    },
    error::AppError,
    server::services::admin::revoke::MAX_NOTE,
};

/// The loaded dialog.
pub struct ConfirmDialog {
    pub action: PendingAction,
    /// Live sessions that would end, without the caller's own.
    pub count: usize,
    /// The caller's own session is among them.
    pub with_own: bool,
    /// The filter of the listed sessions, on the page of sessions.
    pub listed: Option<SessionFilter>,
    /// The session whose details are open.
    pub session: Option<SessionId>,
    /// Its device, if it is live.
    pub device: Option<String>,
    pub user: Option<AdminUser>,
    pub memberships: Vec<Membership>,
    /// Sessions created later stay.
    pub until: Cutoff,
    pub needs_password: bool,
    /// Why the last attempt failed, without JavaScript.
    pub problem: Option<AppError>,
    /// Sessions that the last attempt revoked, if some are left.
    pub revoked_before: usize,
}

/// Renders the dialog. `cancel` is the URL of the page without it, `next` the one after the action.
pub fn view_dialog(dialog: ConfirmDialog, cancel: String, next: String) -> AnyView {
    let DialogTexts {
        title,
        text,
        button,
        action,
        final_class,
    } = dialog_texts(&dialog);
    let is_end = dialog.action.is_revocation();
    let nothing_to_do = is_end && dialog.count == 0 && !dialog.with_own;
    let reason = is_end.then(|| {
        view! {
            <div class="field">
                <label for="ask-reason">"Reason shown to the users"</label>
                <input class="input" id="ask-reason" name="reason" maxlength=MAX_NOTE autocomplete="off" />
                <p class="field-hint">"They read “An administrator ended your session.” and this text. Optional."</p>
            </div>
        }
    });
    let own = (is_end && dialog.with_own).then(|| {
        view! {
            <label class="option">
                <input type="checkbox" name="own_too" value="on" required=dialog.count == 0 />
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
        <div class="field" data-password="" hidden=!dialog.needs_password>
            <label for="ask-password">"Your password"</label>
            <input
                class="input"
                id="ask-password"
                name="password"
                type="password"
                autocomplete="current-password"
                required=dialog.needs_password
            />
            <p class="field-hint">"You entered it some time ago, so we ask again."</p>
        </div>
    };
    let problem = dialog.problem.as_ref().map(|error| {
        view! {
            {notice(Tone::Error, error_message(error))}
        }
    });
    let before = (dialog.revoked_before > 0).then(|| {
        notice(
            Tone::Info,
            format!(
                "{} ended so far, {} left. Go on to end the rest.",
                number(i64::try_from(dialog.revoked_before).unwrap_or(i64::MAX)),
                number(i64::try_from(dialog.count).unwrap_or(i64::MAX))
            ),
        )
    });
    let session = dialog.session.map(|id| id.to_string()).unwrap_or_default();
    let filter = dialog.listed.as_ref().map(SessionFilter::explicit_query);
    let user = dialog
        .user
        .as_ref()
        .map(|person| person.user.id.to_string())
        .unwrap_or_default();
    let max = dialog.count.to_string();
    view! {
        <dialog class="dialog fragment-dialog" open data-modal="" aria-labelledby="ask-title" aria-describedby="ask-text">
            <form method="post" action=action data-send="">
                <h2 id="ask-title">{title}</h2>
                <div class="dialog-body">
                    <p id="ask-text">{text}</p>
                    {before}
                    <input type="hidden" name="which" value=dialog.action.as_str() />
                    {filter.map(|filter| view! { <input type="hidden" name="filter" value=filter /> })}
                    <input type="hidden" name="session_id" value=session />
                    <input type="hidden" name="user_id" value=user />
                    <input type="hidden" name="begun_by" value=dialog.until.to_string() />
                    <input type="hidden" name="next" value=next />
                    {(dialog.action == PendingAction::ChangeRole).then(|| role_field(&dialog))}
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
                        <a class="button" href=cancel data-noscroll="" data-cancel="">
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

/// The dialog has a password and no email.
fn error_message(error: &AppError) -> String {
    match error {
        AppError::InvalidCredentials => "The password is wrong. Nothing was done.".to_owned(),
        error => error.message(),
    }
}

struct DialogTexts {
    title: AnyView,
    text: AnyView,
    button: String,
    action: &'static str,
    final_class: &'static str,
}

fn dialog_texts(dialog: &ConfirmDialog) -> DialogTexts {
    const END: &str = "/api/admin_end_sessions";
    const DANGER: &str = "button danger final";
    let person = dialog
        .user
        .as_ref()
        .map(|person| person.user.display_name.as_str())
        .unwrap_or_default();
    let of_person = || name(person);
    let all = dialog.count + usize::from(dialog.with_own);
    // The caller's own session ends only if that is selected.
    let named = if dialog.count == 0 { all } else { dialog.count };
    let sessions = |count: usize| {
        let n = number(i64::try_from(count).unwrap_or(i64::MAX));
        if count == 1 {
            format!("{n} session")
        } else {
            format!("{n} sessions")
        }
    };
    let plain = |text: String| view! { {text} }.into_any();
    let end = |title: AnyView, text: AnyView, button: String| DialogTexts {
        title,
        text,
        button,
        action: END,
        final_class: DANGER,
    };
    match dialog.action {
        PendingAction::RevokeOne => {
            let device = || name(dialog.device.as_deref().unwrap_or_default());
            let text = if all == 0 {
                plain("This session is over already.".to_owned())
            } else {
                view! { {of_person()} " will have to sign in again on " {device()} ". Unsaved work there may be lost." }.into_any()
            };
            let title = view! { "End the session on " {device()} "?" };
            end(title.into_any(), text, "End session".to_owned())
        }
        PendingAction::RevokeAllOfUser => {
            let text = if all == 0 {
                view! { {of_person()} " is signed in nowhere." }.into_any()
            } else {
                view! { "This ends " {sessions(named)} " of " {of_person()} ", in every browser and on every desktop." }.into_any()
            };
            let title = view! { "Sign " {of_person()} " out everywhere?" };
            end(title.into_any(), text, format!("End {}", sessions(named)))
        }
        PendingAction::RevokeListed => {
            let listed = dialog.listed.as_ref().map(SessionFilter::describe);
            let exception = if dialog.with_own && dialog.count > 0 {
                ", except this browser"
            } else {
                ""
            };
            let effect = format!(
                "{exception}. Their users have to sign in again. Sessions that begin from now on are not ended."
            );
            let text = view! { "This ends all sessions of the list: " <strong>{listed}</strong> {effect} };
            end(plain(format!("End {}?", sessions(named))), text.into_any(), format!("End {}", sessions(named)))
        }
        PendingAction::Disable => DialogTexts {
            title: view! { "Disable the account of " {of_person()} "?" }.into_any(),
            text: plain("They are signed out everywhere at once and cannot sign in until you let them sign in again.".to_owned()),
            button: "Disable account".to_owned(),
            action: "/api/admin_disable_person",
            final_class: DANGER,
        },
        PendingAction::Enable => DialogTexts {
            title: view! { "Let " {of_person()} " sign in again?" }.into_any(),
            text: plain("Their password is as it was. Sessions that were ended stay ended.".to_owned()),
            button: "Let sign in again".to_owned(),
            action: "/api/admin_enable_person",
            final_class: "button primary",
        },
        PendingAction::RequirePasswordChange => DialogTexts {
            title: view! { "Ask " {of_person()} " for a new password?" }.into_any(),
            text: plain(
                "They are signed out everywhere and have to choose a new password when they sign in, with the present one."
                    .to_owned(),
            ),
            button: "Ask for a new password".to_owned(),
            action: "/api/admin_require_password",
            final_class: DANGER,
        },
        PendingAction::ChangeRole => DialogTexts {
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

fn role_field(dialog: &ConfirmDialog) -> AnyView {
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
    let now = dialog
        .user
        .as_ref()
        .map_or(Role::Guest, |person| person.user.role);
    let first = dialog.memberships.first();
    let places = dialog
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
    let place = match dialog.memberships.len() {
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
