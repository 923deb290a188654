//! Sessions, one file per operation.

mod begin;
mod credential;
mod end;
mod find;
mod list;
mod touch;

pub use begin::{Begun, NewSession, begun, insert, last_organization};
pub use credential::{
    confirm_cookie, credential_expiry, find_replaced, is_due_for_rotation, look_at_organization,
    mark_for_rotation, renew_check, set_client, set_credential, take_replaced,
};
pub use end::{
    End, EndFilter, Ended, delete_ended_before, end, end_among, end_of_device, end_run_out, ended_by_limit,
    follow_epoch, lock_out_of_epoch, lock_out_of_epoch_of, lock_run_out, over_limit,
};
pub use find::{
    Found, Live, end_reason_of, find_by_credential, live, live_until, lock, lock_open_of, owner,
    refusal_reason,
};
pub use list::{ListedSession, last_number, list_live, people_with_open};
pub use touch::{extend, touch};
