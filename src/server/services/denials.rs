//! Records denied actions of signed-in callers in the audit log. Limits floods: per session and reason, only the first ones in
//! a window have a row, then the 100th and the 10,000th, with the count.

use std::net::IpAddr;

use chrono::TimeDelta;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    error::AppError,
    server::{
        auth::current_session::CurrentSession,
        clock::Clock,
        database::Database,
        services::throttle,
        store::{
            audit::{self, AuditEvent},
            foreign_ids,
        },
    },
};

/// The length of a counting window.
const WINDOW: TimeDelta = TimeDelta::minutes(15);

/// Why an action was denied. The names appear in the audit log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DenialReason {
    AdministratorsOnly,
    ReauthRequired,
    /// The id of an object of another user.
    NotTheirs,
    /// An administrator's action that the rules forbid, such as a change of their own role.
    NotPermitted,
}

impl DenialReason {
    fn as_str(self) -> &'static str {
        match self {
            DenialReason::AdministratorsOnly => "administrators_only",
            DenialReason::ReauthRequired => "reauth_required",
            DenialReason::NotTheirs => "not_theirs",
            DenialReason::NotPermitted => "not_permitted",
        }
    }

    /// How many denials in a window have their own row.
    fn individual_rows(self) -> i32 {
        match self {
            // Repetitions say nothing new: a page may repeat its request.
            DenialReason::AdministratorsOnly | DenialReason::ReauthRequired => 1,
            DenialReason::NotTheirs | DenialReason::NotPermitted => 10,
        }
    }

    fn is_recorded(self, nth: i32) -> bool {
        nth <= self.individual_rows() || matches!(nth, 100 | 10_000)
    }
}

/// Records the denials of a caller.
#[derive(Clone, Copy)]
pub struct DenialRecorder<'a> {
    pub database: &'a Database,
    pub clock: &'a Clock,
    pub caller: &'a CurrentSession,
    pub ip_address: IpAddr,
}

impl DenialRecorder<'_> {
    /// Counts a denial. Records it unless there were too many.
    ///
    /// # Errors
    /// Database errors.
    pub async fn record(self, reason: DenialReason, mut detail: Value) -> Result<(), AppError> {
        let now = self.clock.now();
        let mut tx = self.database.begin().await?;
        let nth = throttle::count_event(&mut tx, reason.as_str(), self.caller.id, WINDOW, now).await?;
        if reason.is_recorded(nth) {
            if nth > reason.individual_rows() {
                detail["refusals"] = json!(nth);
            }
            let (user, session) = (self.caller.user.id, self.caller.id);
            let event = AuditEvent::denied(user, session, self.ip_address, reason.as_str(), detail);
            audit::record(&mut tx, event, now).await?;
        }
        tx.commit_side_record().await?;
        Ok(())
    }

    /// Records that the caller used the id of another user's object. The response does not reveal that it exists. Ids that do not
    /// exist are not recorded, since an old page may contain them.
    ///
    /// # Errors
    /// Database errors.
    pub async fn record_foreign(self, name: &str, id: Uuid) -> Result<(), AppError> {
        if !foreign_ids::is_foreign(&mut *self.database.connection().await?, self.caller.user.id, id).await? {
            return Ok(());
        }
        self.record(DenialReason::NotTheirs, json!({ name: id })).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_denials_are_recorded_sparsely() {
        let rows = |reason: DenialReason| (1..=20_000).filter(|nth| reason.is_recorded(*nth)).count();
        assert_eq!(rows(DenialReason::AdministratorsOnly), 3);
        assert_eq!(rows(DenialReason::NotTheirs), 12);
    }
}
