//! Writes the counts of this node once a minute.

use std::time::Duration;

use crate::server::{
    buffers::minutes::Minutes,
    database::Database,
    lifecycle::{Job, SHORT},
};

pub struct WriteMinutes {
    pub minutes: Minutes,
    pub database: Database,
    /// The name of this node.
    pub node: String,
}

impl Job for WriteMinutes {
    const NAME: &'static str = "minutes";
    const LIMIT: Option<Duration> = Some(SHORT);

    fn interval(&self) -> Duration {
        Duration::from_secs(60)
    }

    async fn round(&mut self) {
        if let Err(error) = self.minutes.flush(&self.database, &self.node).await {
            tracing::warn!(%error, "counts not written, retrying");
        }
    }
}
