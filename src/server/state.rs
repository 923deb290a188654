//! What every request shares.

use std::sync::Arc;

use axum::extract::FromRef;
use leptos::config::LeptosOptions;

use super::{
    auth::password::Passwords,
    buffers::{activity::Activity, minutes::Minutes},
    clock::Clock,
    config::Config,
    database::Database,
    lifecycle::heartbeat::Heartbeats,
    realtime::hub::Hub,
    services::rate_limit::RateLimits,
    telemetry::{metrics::Metrics, traces::Traces},
};

/// Cheap to clone; clones share everything.
#[derive(Clone, Debug)]
pub struct AppState {
    pub config: Arc<Config>,
    pub database: Database,
    pub clock: Clock,
    pub passwords: Passwords,
    /// How often accounts and addresses did what on this node.
    pub rate_limits: RateLimits,
    pub activity: Activity,
    /// What this node counts.
    pub minutes: Minutes,
    /// What this node's jobs are doing.
    pub jobs: Heartbeats,
    /// The streams that are open on this node.
    pub hub: Hub,
    pub metrics: Arc<Metrics>,
    pub traces: Traces,
    pub leptos: LeptosOptions,
}

impl FromRef<AppState> for LeptosOptions {
    fn from_ref(state: &AppState) -> Self {
        state.leptos.clone()
    }
}
