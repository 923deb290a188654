//! Sign Out All Devices: the button and the dialog that asks first. Without JavaScript the button leads to a page that
//! asks the same.

use leptos::{ev::SubmitEvent, prelude::*, task::spawn_local};

use super::{
    device_list::{DeviceList, devices, ends_text},
    dynamic::dynamic,
    password_field::PasswordField,
    pending_button::PendingButton,
    refusal::Refusal,
};
use crate::{
    domain::session::Session,
    error::AppError,
    ui::{browser, ending::Ending, failure::unless_ended, live::keeper::Keeper},
};

const DIALOG: &str = "sign-out-all";
const PASSWORD: &str = "sign-out-all-password";

/// The button. `on_open` runs when the dialog opens, for the list in it to be fresh.
#[component]
pub fn SignOutAll(
    #[prop(into)] sessions: Signal<Vec<Session>>,
    #[prop(into)] on_open: Callback<()>,
) -> impl IntoView {
    let keeper = expect_context::<Keeper>();
    let failure = RwSignal::new(None::<AppError>);
    let busy = RwSignal::new(false);
    // The server has asked for the password since the dialog was opened.
    let asks = RwSignal::new(false);

    let open = move |event: SubmitEvent| {
        // Without a dialog to show, the form goes its way to the page that asks.
        if browser::open_dialog(DIALOG) {
            event.prevent_default();
            failure.set(None);
            asks.set(false);
            on_open.run(());
        }
    };
    let confirm = move |event: SubmitEvent| {
        event.prevent_default();
        if busy.get_untracked() {
            return;
        }
        busy.set(true);
        failure.set(None);
        let password_typed = asks.get_untracked().then(|| browser::typed(PASSWORD));
        keeper.leaves();
        spawn_local(async move {
            match Ending::All.carry_out(password_typed).await {
                // Still busy: the page is on its way out.
                Ok(_) => {}
                Err(AppError::ReauthRequired) => {
                    keeper.stays();
                    asks.set(true);
                    busy.set(false);
                    browser::focus_soon(PASSWORD);
                }
                Err(error) => {
                    keeper.stays();
                    failure.set(unless_ended(error));
                    busy.set(false);
                    browser::focus_field(PASSWORD);
                }
            }
        });
    };
    let when_away = Signal::derive(move || (!keeper.view().may_act()).then_some("true"));
    let count = move || sessions.with(Vec::len);
    let ends = Signal::derive(move || ends_text(count()));
    let question = dynamic(move || {
        asks.get().then(|| {
            let field = view! {
                <PasswordField
                    id=PASSWORD
                    failure
                    hint="Enter your password to go on: it is some time since you last did."
                />
            };
            field.into_any()
        })
    });
    view! {
        <form method="get" action="/dashboard/settings/sign-out-all" on:submit=open>
            <button class="button danger" type="submit" aria-haspopup="dialog" aria-disabled=when_away>
                "Sign Out All Devices"
            </button>
        </form>
        <dialog
            class="dialog"
            id=DIALOG
            aria-labelledby="sign-out-all-title"
            aria-describedby="sign-out-all-text"
        >
            <form method="post" action="/api/sign_out_all_devices" on:submit=confirm>
                <h2 id="sign-out-all-title">"Sign out of all devices?"</h2>
                <div class="dialog-body">
                    <p id="sign-out-all-text">{ends}</p>
                    <DeviceList sessions />
                    {question}
                    <Refusal failure />
                </div>
                <div class="dialog-foot">
                    <div class="actions end">
                        <button class="button" type="button" autofocus on:click=|_| browser::close_dialog(DIALOG)>
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
