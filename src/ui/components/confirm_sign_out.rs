//! The button and dialog that sign out several devices. Without JavaScript the button opens the
//! confirmation page.

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
    dialog_id: &'static str,
    title_id: &'static str,
    text_id: &'static str,
    password_id: &'static str,
    opener_id: &'static str,
    opener_class: &'static str,
    form_class: &'static str,
    label: &'static str,
    page_path: &'static str,
}

const ALL_DIALOG: DialogConfig = DialogConfig {
    dialog_id: "sign-out-all",
    title_id: "sign-out-all-title",
    text_id: "sign-out-all-text",
    password_id: "sign-out-all-password",
    opener_id: "sign-out-all-button",
    opener_class: "button danger",
    form_class: "",
    label: "Sign Out All Devices",
    page_path: "/dashboard/settings/sign-out-all",
};

const OTHERS_DIALOG: DialogConfig = DialogConfig {
    dialog_id: "sign-out-others",
    title_id: "sign-out-others-title",
    text_id: "sign-out-others-text",
    password_id: "sign-out-others-password",
    opener_id: "sign-out-others-button",
    opener_class: "button",
    form_class: "push",
    label: "Sign out other devices",
    page_path: "/dashboard/settings/sign-out-others",
};

/// The button and its dialog, for [`SignOutTarget::All`] or [`SignOutTarget::Others`]. `sessions`: the sessions to
/// revoke. `on_open`: runs when the dialog opens, to reload them. `on_done`: runs with the number of revoked sessions; not
/// after [`SignOutTarget::All`], which leaves the page.
#[component]
pub fn ConfirmSignOut(
    target: SignOutTarget,
    #[prop(into)] sessions: Signal<Vec<Session>>,
    #[prop(into)] on_open: Callback<()>,
    #[prop(into)] on_done: Callback<usize>,
) -> impl IntoView {
    let monitor = expect_context::<SessionMonitor>();
    let includes_current = target == SignOutTarget::All;
    let config = if includes_current {
        ALL_DIALOG
    } else {
        OTHERS_DIALOG
    };
    let title = target.confirm_title();
    let endpoint = target.endpoint();
    let failure = RwSignal::new(None::<AppError>);
    let busy = RwSignal::new(false);
    // The server required the password after the dialog was opened.
    let is_password_required = RwSignal::new(false);

    let open = move |event: SubmitEvent| {
        // Without a dialog, the form is sent to the confirmation page.
        if browser::open_dialog(config.dialog_id) {
            event.prevent_default();
            failure.set(None);
            is_password_required.set(false);
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
        let password_typed = is_password_required
            .get_untracked()
            .then(|| browser::field_value(config.password_id));
        if includes_current {
            monitor.announce_sign_out();
        } else {
            let ids: Vec<_> =
                sessions.with_untracked(|sessions| sessions.iter().map(|session| session.id).collect());
            monitor::announce_revocation(&ids);
        }
        let target = target.get_value();
        spawn_local(async move {
            let result = target.execute(password_typed).await;
            if includes_current && result.is_ok() {
                // Stays busy while the page is left.
                return;
            }
            if includes_current {
                monitor.cancel_sign_out();
            }
            busy.set(false);
            match result {
                Ok(ended) => {
                    browser::close_dialog(config.dialog_id);
                    on_done.run(ended);
                }
                Err(AppError::ReauthRequired) => {
                    is_password_required.set(true);
                    browser::focus_next_frame(config.password_id);
                }
                Err(error) => {
                    failure.set(filter_session_end(error));
                    browser::focus_field(config.password_id);
                }
            }
        });
    };
    let aria_disabled = Signal::derive(move || (!monitor.view().can_act()).then_some("true"));
    let count = move || sessions.with(Vec::len);
    let text = Signal::derive(move || target.with_value(|target| target.describe_effect(count())));
    let password_field = dynamic(move || {
        is_password_required.get().then(|| {
            let field = view! {
                <PasswordField
                    id=config.password_id
                    failure
                    hint="Enter your password to continue. Your last password check was some time ago."
                />
            };
            field.into_any()
        })
    });
    view! {
        <form class=config.form_class method="get" action=config.page_path on:submit=open>
            <button
                class=config.opener_class
                id=config.opener_id
                type="submit"
                aria-haspopup="dialog"
                aria-disabled=aria_disabled
            >
                {config.label}
            </button>
        </form>
        <dialog class="dialog" id=config.dialog_id aria-labelledby=config.title_id aria-describedby=config.text_id>
            <form method="post" action=endpoint on:submit=confirm>
                <h2 id=config.title_id>{title}</h2>
                <div class="dialog-body">
                    <p id=config.text_id>{text}</p>
                    <DeviceList sessions />
                    {password_field}
                    <FormError failure />
                </div>
                <div class="dialog-foot">
                    <div class="actions end">
                        <button
                            class="button"
                            type="button"
                            autofocus
                            on:click=move |_| browser::close_dialog(config.dialog_id)
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
