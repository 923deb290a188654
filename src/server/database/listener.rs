//! Receives notifications on a connection of its own.

use std::time::Duration;

use sqlx::postgres::PgListener;
use tokio::{runtime, time::timeout};

use super::{Database, connection::QUICK_DEADLINE, failure::AbandonReason, pool::pool_options};

/// Time limit for connecting and LISTEN.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

impl Database {
    /// Listens on a channel, on a connection outside the pool. Does not reconnect.
    ///
    /// # Errors
    /// The database does not respond in time.
    pub async fn listen(&self, channel: &str) -> sqlx::Result<Listener> {
        let connecting = async {
            let pool = pool_options(&self.connector, &self.settings, &self.checks)
                .max_connections(1)
                .connect_with(self.connector.options(&self.settings))
                .await?;
            let inner = PgListener::connect_with(&pool).await?;
            let mut listener = Listener {
                inner: Some(inner),
                channel: channel.to_owned(),
            };
            if let Some(inner) = &mut listener.inner {
                inner.eager_reconnect(false);
                inner.listen(channel).await?;
            }
            Ok(listener)
        };
        timeout(CONNECT_TIMEOUT, connecting)
            .await
            .unwrap_or_else(|_| Err(AbandonReason::DeadlineMissed(CONNECT_TIMEOUT).into()))
    }
}

/// Receives notifications of one channel.
#[derive(Debug)]
pub struct Listener {
    /// `None` after drop.
    inner: Option<PgListener>,
    channel: String,
}

impl Listener {
    /// Waits for notifications for at most `at_latest`; several count as one. Then tests a silent connection, since a
    /// dead one looks the same.
    ///
    /// # Errors
    /// The connection is lost or does not respond in time.
    pub async fn wait(&mut self, at_latest: Duration) -> sqlx::Result<()> {
        let Some(listener) = &mut self.inner else {
            return Err(sqlx::Error::PoolClosed);
        };
        match timeout(at_latest, listener.try_recv()).await {
            Ok(Ok(Some(_))) => {}
            Ok(Ok(None)) => return Err(sqlx::Error::WorkerCrashed),
            Ok(Err(error)) => return Err(error),
            Err(_) => {
                // LISTEN again has no effect on the channel. It keeps LISTEN as the connection's last statement in
                // `pg_stat_activity`, where `store::events::has_listener` finds listeners.
                let tested = timeout(QUICK_DEADLINE, listener.listen(&self.channel)).await;
                tested.unwrap_or_else(|_| Err(AbandonReason::DeadlineMissed(QUICK_DEADLINE).into()))?;
            }
        }
        while listener.next_buffered().is_some() {}
        Ok(())
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let Some(listener) = self.inner.take() else {
            return;
        };
        // The driver sends UNLISTEN in a task and waits for the response without a deadline. Spawn it on a runtime that
        // ends at once, which drops the task and the connection.
        if let Ok(ending) = runtime::Builder::new_current_thread().build() {
            let handle = ending.handle().clone();
            let _here = handle.enter();
            drop(listener);
            ending.shutdown_background();
        }
    }
}
