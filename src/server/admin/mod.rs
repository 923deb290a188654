//! The admin pages, rendered on the server as HTML fragments.
//!
//! They are tables, forms and charts of data that only the server has. Rendered here, they add no code to the browser's
//! part and work without JavaScript. Each page is a feature with its state, which is all in the URL, its data and its view.
//! [`list_page`] contains what the lists share.
//!
//! # Fragment protocol
//!
//! The browser's part ([`crate::ui::pages::admin`], `ui/browser/fragment.rs`) inserts the HTML, loads it again when the URL
//! or the data changes, and sends the forms. It knows these attributes only:
//!
//! - `form[data-live]`: the fields are the query of the URL, which follows what the user types.
//! - `form[data-send]`: sent in the background. The response names the next URL. `[data-problem]` shows an error,
//!   `[data-password]` appears if the password is needed, and `[data-progress]` shows the progress.
//! - `a[data-noscroll]`: leads to another state of the same page without scrolling (an attribute of the router).
//! - `dialog[data-modal]`: a modal dialog; `[data-cancel]` in it is the link that closes it.
//! - `[data-focus]`: receives the focus when it appears; its value is the id of the link that receives it afterwards.
//! - `[data-close]`: the link that closes the details.
//! - `time[data-exact]`: shows the exact time, which the browser's part converts to the user's time zone.
//!
//! Text goes through views, which escape it.

pub mod audit;
mod confirm_dialog;
pub mod health;
mod html;
pub mod list_page;
mod load_dialog;
pub mod paths;
mod pending_action;
pub mod people;
pub mod sessions;
mod user_details;

use domain::flash::{Flash, FlashCode};

use crate::{
    error::{AppError, Resource},
    server::services::admin::{AdminRequest, audit_log::load_chain_status},
};

use audit::AuditList;
use list_page::{List, load_page};
use people::PeopleList;
use sessions::SessionsList;

/// A request for a page.
pub struct PageRequest<'a> {
    pub admin: &'a AdminRequest,
    /// The query of the URL.
    pub query: &'a str,
    /// The result of the form that was sent before, without JavaScript.
    pub flash: Option<Flash>,
}

impl PageRequest<'_> {
    /// The message of the flash. A dialog for the remaining sessions shows the progress itself.
    fn outcome(&self, has_dialog: bool) -> Option<String> {
        let flash = self.flash?;
        let is_shown = !(has_dialog && flash.code == FlashCode::SessionsLeft);
        is_shown.then(|| flash.message())
    }
}

/// Renders the page at this path.
///
/// # Errors
/// [`AppError::NotFound`] for another path; the loader's.
pub async fn render_page(path: &str, request: PageRequest<'_>) -> Result<String, AppError> {
    let request = &request;
    Ok(match path {
        SessionsList::PATH => sessions::render(load_page(request).await?),
        PeopleList::PATH => people::render(load_page(request).await?),
        AuditList::PATH => {
            let chain = load_chain_status(&request.admin.state).await?;
            audit::render(load_page(request).await?, &chain)
        }
        paths::HEALTH => health::render(health::load_health_page(request).await?),
        _ => return Err(AppError::NotFound(Resource::Address)),
    })
}
