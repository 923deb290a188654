//! What pages share. One component a file, named for what a person would call it.

pub mod device_list;
pub mod dynamic;
pub mod frame;
pub mod icon;
pub mod local_time;
pub mod notice;
pub mod password_field;
pub mod pending_button;
pub mod refusal;
pub mod session_row;
pub mod sign_out_all;
pub mod step_up;
pub mod trouble;
