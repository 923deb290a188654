//! Writes noted activity in batches.

use std::time::Duration;

use crate::server::{
    buffers::activity::Activity,
    database::Database,
    lifecycle::{Job, SHORT},
};

/// Also how much activity is lost at most when the process is killed.
const INTERVAL: Duration = Duration::from_secs(2);

pub struct WriteActivity {
    pub activity: Activity,
    pub database: Database,
}

impl Job for WriteActivity {
    const NAME: &'static str = "activity";
    const LIMIT: Option<Duration> = Some(SHORT);

    fn interval(&self) -> Duration {
        INTERVAL
    }

    async fn round(&mut self) {
        if let Err(error) = self.activity.flush(&self.database).await {
            tracing::warn!(%error, "activity not written, retrying");
        }
    }
}
