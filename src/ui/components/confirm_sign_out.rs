//! The button and dialog that sign out several devices. Without JavaScript the button opens a page that asks the same.

use leptos::{ev::SubmitEvent, prelude::*, task::spawn_local};

use super::{
    device_list::{DeviceList, devices},
    dynamic::dynamic,
    form_error::FormError,
    password_field::PasswordField,
    pending_button::PendingButton,
};
use domain::session::Session;

use crate::{
    error::AppError,
    ui::{
        browser,
        errors::filter_session_end,
        live::monitor::{self, SessionMonitor},
        sign_out::SignOutTarget,
    },
};

/// The ids and texts of one dialog.
struct DialogConfig {
    dialog: &'static str,
    title_id: &'static str,
    text_id: &'static str,
    password: &'static str,
    opener: &'static str,
    opener_class: &'static str,
    form_class: &'static str,
    button: &'static str,
    page: &'static str,
}

const ALL: DialogConfig = DialogConfig {
    dialog: "sign-out-all",
    title_id: "sign-out-all-title",
    text_id: "sign-out-all-text",
    password: "sign-out-all-password",
    opener: "sign-out-all-button",
    opener_class: "button danger",
    form_class: "",
    button: "Sign Out All Devices",
    page: "/dashboard/settings/sign-out-all",
};

const OTHERS: DialogConfig = DialogConfig {
    dialog: "sign-out-others",
    title_id: "sign-out-others-title",
    text_id: "sign-out-others-text",
    password: "sign-out-others-password",
    opener: "sign-out-others-button",
    opener_class: "button",
    form_class: "push",
    button: "Sign out other devices",
    page: "/dashboard/settings/sign-out-others",
};

/// The button and its dialog, for [`SignOutTarget::All`] or [`SignOutTarget::Others`]. `sessions` are those that would
/// end. `on_open` runs when the dialog opens, to refresh the list. `on_done` gets the number of ended sessions, unless
/// the page is left.
#[component]
pub fn ConfirmSignOut(
    target: SignOutTarget,
    #[prop(into)] sessions: Signal<Vec<Session>>,
    #[prop(into)] on_open: Callback<()>,
    #[prop(into)] on_done: Callback<usize>,
) -> impl IntoView {
    let monitor = expect_context::<SessionMonitor>();
    let ends_this = target == SignOutTarget::All;
    let config = if ends_this { ALL } else { OTHERS };
    let title = target.confirm_title();
    let endpoint = target.endpoint();
    let failure = RwSignal::new(None::<AppError>);
    let busy = RwSignal::new(false);
    // The server has required the password since the dialog was opened.
    let asks = RwSignal::new(false);

    let open = move |event: SubmitEvent| {
        // Without a dialog, the form is sent to the confirmation page.
        if browser::open_dialog(config.dialog) {
            event.prevent_default();
            failure.set(None);
            asks.set(false);
            on_open.run(());
        }
    };
    let target = StoredValue::new(target);
    let confirm = move |event: SubmitEvent| {
        event.prevent_default();
        if busy.get_untracked() {
            return;
        }
        busy.set(true);
        failure.set(None);
        let password_typed = asks
            .get_untracked()
            .then(|| browser::field_value(config.password));
        if ends_this {
            monitor.announce_sign_out();
        } else {
            let ids: Vec<_> =
                sessions.with_untracked(|sessions| sessions.iter().map(|session| session.id).collect());
            monitor::announce_revocation(&ids);
        }
        let target = target.get_value();
        spawn_local(async move {
            let result = target.execute(password_typed).await;
            if ends_this && result.is_ok() {
                // Still busy, because the page is being left.
                return;
            }
            if ends_this {
                monitor.cancel_sign_out();
            }
            busy.set(false);
            match result {
                Ok(ended) => {
                    browser::close_dialog(config.dialog);
                    on_done.run(ended);
                }
                Err(AppError::ReauthRequired) => {
                    asks.set(true);
                    browser::focus_next_frame(config.password);
                }
                Err(error) => {
                    failure.set(filter_session_end(error));
                    browser::focus_field(config.password);
                }
            }
        });
    };
    let when_away = Signal::derive(move || (!monitor.view().can_act()).then_some("true"));
    let count = move || sessions.with(Vec::len);
    let text = Signal::derive(move || target.with_value(|target| target.describe_effect(count())));
    let question = dynamic(move || {
        asks.get().then(|| {
            let field = view! {
                <PasswordField
                    id=config.password
                    failure
                    hint="Enter your password to continue. You last entered it some time ago."
                />
            };
            field.into_any()
        })
    });
    view! {
        <form class=config.form_class method="get" action=config.page on:submit=open>
            <button
                class=config.opener_class
                id=config.opener
                type="submit"
                aria-haspopup="dialog"
                aria-disabled=when_away
            >
                {config.button}
            </button>
        </form>
        <dialog class="dialog" id=config.dialog aria-labelledby=config.title_id aria-describedby=config.text_id>
            <form method="post" action=endpoint on:submit=confirm>
                <h2 id=config.title_id>{title}</h2>
                <div class="dialog-body">
                    <p id=config.text_id>{text}</p>
                    <DeviceList sessions />
                    {question}
                    <FormError failure />
                </div>
                <div class="dialog-foot">
                    <div class="actions end">
                        <button
                            class="button"
                            type="button"
                            autofocus
                            on:click=move |_| browser::close_dialog(config.dialog)
                        >
                            "Cancel"
                        </button>
                        <PendingButton
                            class="button danger final"
                            idle=Signal::derive(move || format!("Sign out of {}", devices(count())))
                            pending="Signing out…".to_owned()
                            busy
                        />
                    </div>
                </div>
            </form>
        </dialog>
    }
}
