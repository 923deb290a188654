//! Seals the audit log, seconds behind: a sign-in leaves its rows in a queue and never waits for the chain.

use std::time::Duration;

use crate::server::{
    clock::Clock,
    database::Database,
    lifecycle::{Job, LONG},
    services::audit_chain,
};

pub struct SealAuditLog {
    pub clock: Clock,
    pub database: Database,
}

impl Job for SealAuditLog {
    const NAME: &'static str = "seal";
    const LIMIT: Option<Duration> = Some(LONG);

    /// Also how long a row waits.
    fn interval(&self) -> Duration {
        Duration::from_secs(1)
    }

    async fn round(&mut self) {
        if let Err(error) = audit_chain::seal_all(&self.database, &self.clock).await {
            tracing::warn!(%error, "audit rows not sealed, retrying");
        }
    }
}
