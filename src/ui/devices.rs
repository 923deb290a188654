//! Where the person is signed in and what they are asked about it: one load for every page that shows either. Each type
//! of resource is compiled anew, which the browser's part pays for.

use leptos::prelude::*;

use crate::{
    domain::{overview::ActiveSessions, security_notice::SecurityNotice},
    error::AppError,
    server_fns::{list_active_sessions, list_security_notices},
};

/// The sessions, and the questions about what was unusual.
pub type Devices = Resource<Result<(ActiveSessions, Vec<SecurityNotice>), AppError>>;

/// Loads both.
pub fn load_devices() -> Devices {
    Resource::new_blocking(
        || (),
        |()| async {
            let active = list_active_sessions().await?;
            Ok((active, list_security_notices().await?))
        },
    )
}
