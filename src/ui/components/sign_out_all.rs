//! Sign Out All Devices: the button and the dialog that asks first. Without JavaScript the button leads to a page that
//! asks the same.

use leptos::{ev::SubmitEvent, html::Dialog, prelude::*, task::spawn_local};

use super::{
    device_list::{DeviceList, devices, ends_text},
    dynamic::dynamic,
    notice::{Notice, Tone},
    pending_button::PendingButton,
};
use crate::{
    domain::session::Session,
    error::AppError,
    server_fns::sign_out_all_devices,
    ui::{browser, failure::leave_if_ended},
};

/// The button. `on_open` runs when the dialog opens, for the list in it to be fresh.
#[component]
pub fn SignOutAll(
    #[prop(into)] sessions: Signal<Vec<Session>>,
    #[prop(into)] on_open: Callback<()>,
) -> impl IntoView {
    let dialog = NodeRef::<Dialog>::new();
    let failure = RwSignal::new(None::<AppError>);
    let busy = RwSignal::new(false);

    let open = move |event: SubmitEvent| {
        // Without a dialog to show, the form goes its way to the page that asks.
        if let Some(dialog) = dialog.get_untracked()
            && dialog.show_modal().is_ok()
        {
            event.prevent_default();
            failure.set(None);
            on_open.run(());
        }
    };
    let close = move |_| {
        if let Some(dialog) = dialog.get_untracked() {
            dialog.close();
        }
    };
    let confirm = move |event: SubmitEvent| {
        event.prevent_default();
        if busy.get_untracked() {
            return;
        }
        busy.set(true);
        failure.set(None);
        spawn_local(async move {
            match sign_out_all_devices(None).await {
                // Still busy: the page is on its way out.
                Ok(path) => browser::go_to(&path),
                Err(error) => {
                    failure.set(leave_if_ended(error));
                    busy.set(false);
                }
            }
        });
    };
    let count = move || sessions.with(Vec::len);
    let ends = Signal::derive(move || ends_text(count()));
    let problem = dynamic(move || {
        let error = failure.get()?;
        let notice = view! {
            <Notice tone=Tone::Error>
                <p class="notice-title">"Nothing was signed out."</p>
                <p>{error.message()}</p>
            </Notice>
        };
        Some(notice.into_any())
    });
    view! {
        <form method="get" action="/dashboard/settings/sign-out-all" on:submit=open>
            <button class="button danger" type="submit" aria-haspopup="dialog">
                "Sign Out All Devices"
            </button>
        </form>
        <dialog
            class="dialog"
            node_ref=dialog
            aria-labelledby="sign-out-all-title"
            aria-describedby="sign-out-all-text"
        >
            <h2 id="sign-out-all-title">"Sign out of all devices?"</h2>
            <div class="dialog-body">
                <p id="sign-out-all-text">{ends}</p>
                <DeviceList sessions />
                {problem}
            </div>
            <form class="dialog-foot" method="post" action="/api/sign_out_all_devices" on:submit=confirm>
                <div class="actions end">
                    <button class="button" type="button" autofocus on:click=close>
                        "Cancel"
                    </button>
                    <PendingButton
                        class="button danger final"
                        idle=Signal::derive(move || format!("Sign out of {}", devices(count())))
                        pending="Signing out…".to_owned()
                        busy
                    />
                </div>
            </form>
        </dialog>
    }
}
