//! Forces an order on concurrent requests by holding a user's row lock until they wait.

use std::time::Duration;

use sqlx::{Postgres, Transaction};
use tokio::{spawn, task::JoinHandle};

use super::{Portal, SessionId, TestResponse, TestUser};

/// The locked row of a user. Requests that create or end the user's sessions wait, and continue in the order of
/// waiting.
pub struct HeldLock {
    portal: Portal,
    transaction: Transaction<'static, Postgres>,
}

impl HeldLock {
    pub async fn of_user(portal: &Portal, person: &TestUser) -> Self {
        let mut transaction = portal.sql.begin().await.expect("a transaction");
        sqlx::query("SELECT 1 FROM users WHERE id = $1 FOR UPDATE")
            .bind(person.id.0)
            .execute(&mut *transaction)
            .await
            .expect("the person's row");
        Self {
            portal: portal.clone(),
            transaction,
        }
    }

    /// Locks the row of a session instead, like a write of its activity.
    pub async fn of_session(portal: &Portal, session: SessionId) -> Self {
        let mut transaction = portal.sql.begin().await.expect("a transaction");
        sqlx::query("SELECT 1 FROM sessions WHERE id = $1 FOR UPDATE")
            .bind(session.0)
            .execute(&mut *transaction)
            .await
            .expect("the session's row");
        Self {
            portal: portal.clone(),
            transaction,
        }
    }

    /// Locks the row of a user as well, which completes a deadlock with a request that holds it and waits for this lock.
    pub async fn lock_user_too(&mut self, person: &TestUser) {
        sqlx::query("SELECT 1 FROM users WHERE id = $1 FOR UPDATE")
            .bind(person.id.0)
            .execute(&mut *self.transaction)
            .await
            .expect("Postgres aborts the transaction that waited longest");
    }

    /// Starts a request and waits until it is the `place`th to wait for the row.
    pub async fn queue<C>(&self, call: C, place: i64) -> JoinHandle<TestResponse>
    where
        C: IntoFuture<Output = TestResponse>,
        C::IntoFuture: Send + 'static,
    {
        let under_way = spawn(call.into_future());
        self.until_waiting(place).await;
        under_way
    }

    /// Waits until this many transactions wait for a lock.
    pub async fn until_waiting(&self, count: i64) {
        self.portal.until_waiting(count).await;
    }

    pub async fn release(self) {
        self.transaction.commit().await.expect("commit");
    }
}

impl Portal {
    /// Waits until this many transactions wait for any lock.
    pub async fn until_waiting(&self, count: i64) {
        for _ in 0..2000 {
            let waiting: i64 = sqlx::query_scalar(
                "SELECT count(*) FROM pg_stat_activity
                WHERE datname = current_database() AND wait_event_type = 'Lock'",
            )
            .fetch_one(&self.sql)
            .await
            .expect("pg_stat_activity");
            if waiting == count {
                return;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        panic!("{count} transactions never waited at once");
    }
}
