//! Notifications of the database, on a connection of their own.

use std::time::Duration;

use sqlx::postgres::PgListener;
use tokio::{runtime, time::timeout};

use super::{Database, connection::QUICK, failure::Abandoned, pool::pool_options};

/// How long it may take to bring up the connection.
const LISTEN: Duration = Duration::from_secs(5);

impl Database {
    /// Listens to a channel, on a connection beside the pool. Does not connect again by itself.
    ///
    /// # Errors
    /// The database does not answer in time.
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
        timeout(LISTEN, connecting)
            .await
            .unwrap_or_else(|_| Err(Abandoned::DeadlineMissed(LISTEN).into()))
    }
}

/// Hears of notifications.
#[derive(Debug)]
pub struct Listener {
    /// Empty once it is dropped.
    inner: Option<PgListener>,
    channel: String,
}

impl Listener {
    /// Waits for a notification, or until `at_latest`. Several are one. A connection that was silent is tested then: a dead
    /// one looks as a quiet one does.
    ///
    /// # Errors
    /// The connection is gone, or does not answer in time.
    pub async fn wait(&mut self, at_latest: Duration) -> sqlx::Result<()> {
        let Some(listener) = &mut self.inner else {
            return Err(sqlx::Error::PoolClosed);
        };
        match timeout(at_latest, listener.try_recv()).await {
            Ok(Ok(Some(_))) => {}
            Ok(Ok(None)) => return Err(sqlx::Error::WorkerCrashed),
            Ok(Err(error)) => return Err(error),
            Err(_) => {
                // Listening once more changes nothing. `pg_stat_activity` shows a connection's last statement, by which
                // `store::events::is_heard` knows a listener.
                let tested = timeout(QUICK, listener.listen(&self.channel)).await;
                tested.unwrap_or_else(|_| Err(Abandoned::DeadlineMissed(QUICK).into()))?;
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
        // The driver says UNLISTEN in a task of its own and waits for the answer without end. On a runtime that is over
        // at once, that task is dropped, and the connection with it.
        if let Ok(ending) = runtime::Builder::new_current_thread().build() {
            let handle = ending.handle().clone();
            let _here = handle.enter();
            drop(listener);
            ending.shutdown_background();
        }
    }
}
