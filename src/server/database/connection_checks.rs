//! Checks whether a connection may be used: it responds in time, and its database accepts writes.
//!
//! A standby lags behind and would accept the token of a revoked session.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use sqlx::{PgConnection, Row as _};
use tokio::{sync::watch, time::timeout};

use super::failure::{AbandonReason, WriteRefusal};

/// Idle time after which a connection is checked again.
const CHECK_AFTER: Duration = Duration::from_secs(1);

/// Time limit of a check, after which the connection is closed. Longer than the round trip of the slowest usable link.
const CHECK_DEADLINE: Duration = Duration::from_secs(2);

/// State of the checks of one pool. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct ConnectionChecks(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// When a connection last missed its deadline.
    distrusted_at: Mutex<Option<Instant>>,
    /// Result for the last new connection.
    refusal: watch::Sender<Option<WriteRefusal>>,
}

impl ConnectionChecks {
    /// Replaces idle connections: where one connection died, they probably did too, and trying each takes seconds.
    pub fn distrust_idle(&self) {
        let mut distrusted_at = self
            .0
            .distrusted_at
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *distrusted_at = Some(Instant::now());
    }

    fn is_distrusted(&self, idle_for: Duration) -> bool {
        let distrusted_at = *self
            .0
            .distrusted_at
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        distrusted_at.is_some_and(|at| at.elapsed() < idle_for)
    }

    /// Returns why the database is not used, according to the last check.
    pub fn refusal(&self) -> Option<WriteRefusal> {
        *self.0.refusal.borrow()
    }

    /// Waits until a connection is refused.
    pub async fn wait_for_refusal(&self) -> WriteRefusal {
        let mut refusals = self.0.refusal.subscribe();
        loop {
            if refusals.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
            if let Some(refusal) = *refusals.borrow() {
                return refusal;
            }
        }
    }

    /// Returns whether an idle connection may be used.
    pub async fn before_acquire(&self, conn: &mut PgConnection, idle_for: Duration) -> bool {
        if self.is_distrusted(idle_for) {
            return false;
        }
        if idle_for < CHECK_AFTER {
            return true;
        }
        match timeout(CHECK_DEADLINE, check(conn)).await {
            Ok(Ok(None)) => true,
            Ok(Ok(Some(_)) | Err(_)) => false,
            Err(_) => {
                self.distrust_idle();
                false
            }
        }
    }

    /// Refuses a new connection to a database that accepts no writes.
    ///
    /// # Errors
    /// [`AbandonReason::Refused`], or the database does not respond.
    pub async fn after_connect(&self, conn: &mut PgConnection) -> sqlx::Result<()> {
        let checked = timeout(CHECK_DEADLINE, check(conn)).await;
        let refusal =
            checked.unwrap_or_else(|_| Err(AbandonReason::DeadlineMissed(CHECK_DEADLINE).into()))?;
        self.record(refusal);
        refusal.map_or(Ok(()), |refusal| Err(AbandonReason::Refused(refusal).into()))
    }

    fn record(&self, refusal: Option<WriteRefusal>) {
        self.0.refusal.send_if_modified(|last| {
            let is_new = *last != refusal || refusal.is_some();
            if *last != refusal
                && let Some(refusal) = refusal
            {
                tracing::error!(%refusal, "database refused");
            }
            *last = refusal;
            is_new
        });
        if refusal.is_some() {
            // Older connections may accept writes for a while.
            self.distrust_idle();
        }
    }
}

/// One round trip, like a ping.
async fn check(conn: &mut PgConnection) -> sqlx::Result<Option<WriteRefusal>> {
    let sql = "SELECT pg_is_in_recovery(), current_setting('transaction_read_only') = 'on'";
    let row = sqlx::raw_sql(sql).fetch_one(conn).await?;
    Ok(if row.try_get(0)? {
        Some(WriteRefusal::InRecovery)
    } else if row.try_get(1)? {
        Some(WriteRefusal::ReadOnly)
    } else {
        None
    })
}
