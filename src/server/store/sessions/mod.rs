//! Sessions, one file per operation.

mod activity;
mod credential;
mod end;
mod find;
mod insert;
mod list;

pub use activity::{extend, record_activity};
pub use credential::{
    confirm_cookie, find_credential_expiry, find_replaced, is_due_for_rotation, mark_for_rotation,
    record_reauthentication, set_client, set_credential, switch_organization, take_replaced,
};
pub use end::{
    EndCause, EndFilter, EndRecord, delete_ended_before, end, end_by_ids, end_for_device,
    list_ended_by_limit, list_over_limit, lock_expired, lock_outdated_epoch, lock_outdated_epoch_of,
    record_expiry, update_epoch,
};
pub use find::{
    FoundSession, LiveSession, find_by_credential, find_end_reason, find_live, find_live_until, find_owner,
    lock, lock_open_of, refusal_reason,
};
pub use insert::{InsertedSession, NewSession, insert, load_inserted, load_last_organization};
pub use list::{SessionClient, SessionRow, UserSession, list_live, list_users_with_open, load_last_number};
