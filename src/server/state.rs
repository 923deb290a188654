//! The state that all requests share.

use std::sync::Arc;

use axum::extract::FromRef;
use leptos::config::LeptosOptions;

use super::{
    auth::passwords::Passwords,
    buffers::{activity::Activity, minutes::Minutes},
    clock::Clock,
    config::Config,
    database::Database,
    lifecycle::Jobs,
    rate_counts::RateCounts,
    realtime::hub::Hub,
    telemetry::{metrics::Metrics, traces::Traces},
};

/// Cheap to clone; clones share their state.
#[derive(Clone, Debug)]
pub struct AppState {
    pub config: Arc<Config>,
    pub database: Database,
    pub clock: Clock,
    pub passwords: Passwords,
    /// Recent actions per account and address on this node.
    pub rate_counts: RateCounts,
    pub activity: Activity,
    /// Counters of this node, written once a minute.
    pub minutes: Minutes,
    /// The recurring jobs of this node.
    pub jobs: Jobs,
    /// The event streams of this node.
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
