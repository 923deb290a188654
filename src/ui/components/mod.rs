//! Parts that pages share, one component per file.

pub mod account_menu;
pub mod confirm_sign_out;
pub mod device_list;
pub mod dynamic;
pub mod error_notice;
pub mod form_error;
pub mod frame;
pub mod live;
pub mod local_time;
pub mod menu;
pub mod organization_switcher;
pub mod page_title;
pub mod password_field;
pub mod pending_button;
pub mod reauthentication;
pub mod session_row;
pub mod sign_in_form;
