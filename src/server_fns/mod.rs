//! Server functions: authenticate, authorize, call a service, return a view type.
//!
//! Each function authenticates by itself, because anyone can call its URL. Its `endpoint` is a public name. On the
//! server, its body runs inside [`request_context::run`].

#[cfg(feature = "ssr")]
mod request_context;

mod admin;
pub mod client;
mod flash;
mod organization;
mod overview;
mod security;
mod sessions;
mod sign_in;
mod theme;

pub use admin::{
    AdminChangeRole, AdminDisablePerson, AdminEnablePerson, AdminEndSessions, AdminFormResult,
    AdminRequirePassword, AdminTestAlerts, DrawAdmin, draw_admin,
};
pub use flash::flash_message;
pub use organization::{SwitchOrganization, switch_organization};
pub use overview::{ShowOverview, ShowViewer, show_overview, show_viewer};
pub use security::{
    ChangePassword, DismissSecurityNotice, ExtendSession, ListSecurityNotices, change_password,
    dismiss_security_notice, extend_session, list_security_notices,
};
pub use sessions::{
    ListActiveSessions, RevokeSession, SignOutAllDevices, SignOutOtherDevices, list_active_sessions,
    revoke_session, sign_out_all_devices, sign_out_other_devices,
};
pub use sign_in::{SignIn, SignInNotice, SignOut, sign_in, sign_in_notice, sign_out, typed_email};
pub use theme::{ChooseTheme, choose_theme};
