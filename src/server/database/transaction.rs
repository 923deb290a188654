//! A transaction that knows what it will have done once it is committed.

use std::ops::{Deref, DerefMut};

use sqlx::{PgConnection, Postgres};

use crate::{
    domain::session::EndReason,
    server::telemetry::{metrics::DatabaseMeters, traces::Part},
};

/// Dropped without a commit, it has done nothing, and nothing is counted.
#[derive(Debug)]
pub struct Transaction {
    inner: sqlx::Transaction<'static, Postgres>,
    meters: DatabaseMeters,
    ended: Vec<EndReason>,
    part: Part,
}

impl Transaction {
    pub(super) fn new(
        inner: sqlx::Transaction<'static, Postgres>,
        meters: DatabaseMeters,
        part: Part,
    ) -> Self {
        Self {
            inner,
            meters,
            ended: Vec::new(),
            part,
        }
    }

    /// Counts sessions as ended once this is committed.
    pub fn will_have_ended(&mut self, reasons: impl IntoIterator<Item = EndReason>) {
        self.ended.extend(reasons);
    }

    /// Commits, and counts what was done.
    ///
    /// # Errors
    /// The database's; whether it was committed is then not known, and it is not counted.
    pub async fn commit(mut self) -> sqlx::Result<()> {
        self.inner.commit().await?;
        self.part.committed();
        for reason in self.ended {
            self.meters.sessions_ended.count(reason);
        }
        Ok(())
    }
}

impl Deref for Transaction {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.inner
    }
}

impl DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.inner
    }
}
