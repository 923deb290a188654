//! Puts on record what signed-in callers were refused. A flood does not fill the audit log: of each session and reason
//! only the first few of a window have a row, then the 100th and the 10,000th, which say how many there were.

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
            audit::{self, Refusal, RefusalKind},
            foreign_ids,
        },
    },
};

/// How long refusals are counted together.
const WINDOW: TimeDelta = TimeDelta::minutes(15);

/// Why something was refused. The names stand in the audit log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DenialReason {
    AdministratorsOnly,
    ReauthRequired,
    /// The id of something that belongs to someone else.
    NotTheirs,
    /// An administrator's action on a user that is not theirs to take, such as a change of their own role.
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

    /// How many of a window have a row each.
    fn individual_rows(self) -> i32 {
        match self {
            // The same again says nothing new: a page may ask and ask.
            DenialReason::AdministratorsOnly | DenialReason::ReauthRequired => 1,
            DenialReason::NotTheirs | DenialReason::NotPermitted => 10,
        }
    }

    fn is_recorded(self, nth: i32) -> bool {
        nth <= self.individual_rows() || matches!(nth, 100 | 10_000)
    }
}

/// A caller, and where to put what they were refused on record.
#[derive(Clone, Copy)]
pub struct DenialRecorder<'a> {
    pub database: &'a Database,
    pub clock: &'a Clock,
    pub caller: &'a CurrentSession,
    pub ip_address: IpAddr,
}

impl DenialRecorder<'_> {
    /// Counts a refusal, and records it unless there were many before.
    ///
    /// # Errors
    /// The database's.
    pub async fn record(self, reason: DenialReason, mut detail: Value) -> Result<(), AppError> {
        let now = self.clock.now();
        let mut tx = self.database.begin().await?;
        let nth = throttle::count_event(&mut tx, reason.as_str(), self.caller.id, WINDOW, now).await?;
        if reason.is_recorded(nth) {
            if nth > reason.individual_rows() {
                detail["refusals"] = json!(nth);
            }
            let refusal = Refusal {
                kind: RefusalKind::Denied,
                user: self.caller.user.id,
                session: self.caller.id,
                ip_address: self.ip_address,
                reason: reason.as_str(),
                detail,
            };
            audit::record_refusal(&mut tx, refusal, now).await?;
        }
        tx.commit_side_record().await?;
        Ok(())
    }

    /// Records that the caller tried the id of something that is there and not theirs. The answer tells nothing, the log
    /// does. Ids of nothing are no probes: a page that was open for long has them, too.
    ///
    /// # Errors
    /// The database's.
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
    fn refusal_floods_leave_few_rows() {
        let rows = |reason: DenialReason| (1..=20_000).filter(|nth| reason.is_recorded(*nth)).count();
        assert_eq!(rows(DenialReason::AdministratorsOnly), 3);
        assert_eq!(rows(DenialReason::NotTheirs), 12);
    }
}
