//! Loads the page.

use chrono::{DateTime, Utc};
use domain::{
    alert::{AlertList, AlertRuleSetting},
    statistics::Statistics,
};

use super::query;
use crate::{
    error::AppError,
    server::{
        admin::PageRequest,
        health::{Check, Health},
        services::{alerts, reauthentication, statistics},
    },
};

/// The loaded page.
pub struct HealthPage {
    /// The name of the organization in scope. `None`: everyone.
    pub organization: Option<String>,
    pub statistics: Statistics,
    /// For system administrators only.
    pub portal: Option<PortalHealth>,
    /// The result of the form that was sent before, without JavaScript.
    pub outcome: Option<String>,
    pub now: DateTime<Utc>,
}

/// The health of the whole portal.
pub struct PortalHealth {
    pub checks: Vec<Check>,
    pub alerts: AlertList,
    pub rules: Vec<AlertRuleSetting>,
    pub has_webhook: bool,
    pub needs_password: bool,
}

pub async fn load_health_page(request: &PageRequest<'_>) -> Result<HealthPage, AppError> {
    let admin = request.admin;
    let state = &admin.state;
    let now = state.clock.now();
    let period = query::parse_period(request.query);
    let statistics =
        statistics::load_statistics(&state.database, period, admin.scope.organization, now).await?;
    let portal = if admin.scope.is_everyone() {
        Some(PortalHealth {
            checks: Health::check_server(state).await.checks,
            alerts: alerts::list(&state.database).await?,
            rules: alerts::rules(&state.config.alerts),
            has_webhook: state.config.alerts.webhook.is_some(),
            needs_password: reauthentication::is_required(state, &admin.caller),
        })
    } else {
        None
    };
    Ok(HealthPage {
        organization: admin.organization_name().map(str::to_owned),
        statistics,
        portal,
        outcome: request.outcome(false),
        now,
    })
}
