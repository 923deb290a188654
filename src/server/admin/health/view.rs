//! Renders the page.

use chrono::{DateTime, Utc};
use leptos::prelude::*;

use super::{
    chart,
    load::{HealthPage, PortalHealth},
};
use domain::{
    alert::{Alert, AlertList, Delivery, DeliveryOutcome},
    statistics::Period,
    time::pluralize,
};

use crate::{
    elements::{
        icon::{Icon, IconName},
        notice::Tone,
    },
    server::admin::{
        html::{age, moment, notice, tabs, to_html},
        paths::HEALTH,
    },
};

/// Renders the page.
pub fn render(page: HealthPage) -> String {
    let HealthPage {
        organization,
        statistics,
        portal,
        outcome,
        now,
    } = page;
    let whose = match &organization {
        Some(name) => format!("How sessions of the people of {name} have been doing."),
        None => "How the portal has been doing.".to_owned(),
    };
    let period = statistics.period;
    let choice = |of: Period, query: &'static str, label: &'static str| {
        view! {
            <a href=format!("{HEALTH}{query}") data-noscroll="" aria-current=(period == of).then_some("true")>
                {label}
            </a>
        }
    };
    let charts = vec![
        chart::view_chart(
            "live",
            "Live sessions by role and kind",
            period,
            &statistics.live_sessions,
        ),
        chart::view_chart("sign-ins", "Sign-ins", period, &statistics.sign_ins),
        chart::view_chart(
            "ended",
            "Sessions ended, by reason",
            period,
            &statistics.ended_sessions,
        ),
        chart::view_chart("length", "Length of sessions", period, &statistics.session_length),
    ];
    let more = [
        (
            "revocation",
            "Revocation latency, until the last stream was closed",
            statistics.revocation.as_ref(),
        ),
        (
            "refreshes",
            "Refresh tokens exchanged",
            statistics.refreshes.as_ref(),
        ),
    ];
    let more = more
        .into_iter()
        .filter_map(|(id, title, each)| Some(chart::view_chart(id, title, period, each?)));
    let charts: Vec<AnyView> = charts.into_iter().chain(more).collect();
    to_html(view! {
        <header class="page-head">
            <h1>"Health"</h1>
            <p class="lead">{whose}</p>
        </header>
        {tabs(HEALTH)}
        {outcome.map(|text| notice(Tone::Success, text))}
        {portal.map(|portal| view_portal(portal, now))}
        <div class="chart-head">
            <h2 id="list-title" tabindex="-1">
                {match period {
                    Period::Day => "The last 24 hours",
                    Period::Month => "The last 30 days",
                }}
            </h2>
            <nav class="tabs" aria-label="Time">
                {choice(Period::Day, "", "24 hours")} {choice(Period::Month, "?period=month", "30 days")}
            </nav>
        </div>
        <div class="charts">{charts}</div>
        <p class="soft small">"Taken " {moment(statistics.until)} ". Steps are in UTC."</p>
    })
}

fn view_portal(portal: PortalHealth, now: DateTime<Utc>) -> AnyView {
    let PortalHealth {
        checks,
        alerts,
        rules,
        has_webhook,
        needs_password,
    } = portal;
    let AlertList {
        open,
        recent: over,
        tests,
    } = alerts;
    let lines = checks
        .into_iter()
        .map(|check| {
            let (name, class) = if check.ok {
                (IconName::Check, "well")
            } else {
                (IconName::AlertCircle, "failing")
            };
            view! {
                <li class=class>
                    <Icon name />
                    <span>
                        <strong>{check.name.replace('_', " ")}</strong>
                        " "
                        {check.problem.unwrap_or_else(|| "is well".to_owned())}
                    </span>
                </li>
            }
        })
        .collect::<Vec<_>>();
    let none = (open.is_empty() && over.is_empty())
        .then(|| view! { <p class="soft">"No alert is open, and none was raised lately."</p> });
    let password = needs_password.then(|| {
        view! {
            <div class="field">
                <label for="test-password">"Your password"</label>
                <input
                    class="input"
                    id="test-password"
                    name="password"
                    type="password"
                    autocomplete="current-password"
                    required
                />
            </div>
        }
    });
    let rules = rules
        .into_iter()
        .map(|setting| {
            let when = setting.threshold.unwrap_or_else(|| "Switched off.".to_owned());
            view! {
                <li>
                    <strong>{setting.rule.label()}</strong>
                    " "
                    <span class="soft">{when}</span>
                </li>
            }
        })
        .collect::<Vec<_>>();
    let test = if has_webhook {
        view! {
            <form class="form short" method="post" action="/api/admin_test_alerts" data-send="">
                <input type="hidden" name="next" value=HEALTH />
                {password}
                <div role="alert" data-problem=""></div>
                <p class="actions">
                    <button class="button small" id="test-alert" type="submit">
                        <span class="idle">"Send a test alert"</span>
                        <span class="pending">"Sending…"</span>
                    </button>
                </p>
            </form>
        }
        .into_any()
    } else {
        view! {
            <p class="soft small">
                "Alerts are not sent anywhere. Operators can set " <code>"PORTAL_ALERT_WEBHOOK_URL"</code> "."
            </p>
        }
        .into_any()
    };
    view! {
        <section class="card" aria-labelledby="state-title">
            <header class="card-head">
                <h2 id="state-title">"Now"</h2>
            </header>
            <div class="card-body">
                <ul class="checks">{lines}</ul>
            </div>
        </section>
        <section class="card" aria-labelledby="alerts-title">
            <header class="card-head">
                <h2 id="alerts-title">"Alerts"</h2>
            </header>
            <div class="card-body">
                {none}
                <ul class="alerts">
                    {open.into_iter().chain(over).map(|raised| alert(raised, now)).collect::<Vec<_>>()}
                </ul>
                {tests.iter().map(delivery).collect::<Vec<_>>()}
                {test}
                <details>
                    <summary>"What alerts are raised for"</summary>
                    <ul class="rules">{rules}</ul>
                </details>
            </div>
        </section>
    }
    .into_any()
}

/// The delivery to the webhook.
fn delivery(sent: &Delivery) -> AnyView {
    let error = sent
        .last_error
        .clone()
        .map(|error| format!(": {error}"))
        .unwrap_or_default();
    let became = match sent.outcome {
        DeliveryOutcome::Delivered => view! { "delivered " {moment(sent.outcome_at)} }.into_any(),
        DeliveryOutcome::Waiting if sent.attempts == 0 => view! { "on its way" }.into_any(),
        DeliveryOutcome::Waiting => {
            view! { "tried " {pluralize(sent.attempts.into(), "time")} ", again " {moment(sent.outcome_at)} {error} }.into_any()
        }
        DeliveryOutcome::GivenUp => view! { "given up " {moment(sent.outcome_at)} {error} }.into_any(),
    };
    view! {
        <p class="soft small">
            "Webhook, " {sent.state.clone()} ": " {became}
        </p>
    }
    .into_any()
}

fn alert(alert: Alert, now: DateTime<Utc>) -> AnyView {
    let is_open = alert.cleared_at.is_none();
    let when = match alert.cleared_at {
        None => view! { "Since " {moment(alert.raised_at)} ", still so " {age(alert.last_seen_at, now)} "." }
            .into_any(),
        Some(cleared) => view! { "From " {moment(alert.raised_at)} " to " {moment(cleared)} "." }.into_any(),
    };
    let deliveries = alert.deliveries.iter().map(delivery).collect::<Vec<_>>();
    view! {
        <li class=if is_open { "failing" } else { "" }>
            <Icon name=if is_open { IconName::AlertTriangle } else { IconName::Check } />
            <div>
                <p>
                    <strong>{alert.rule.label()}</strong>
                    {(!is_open).then(|| view! { <span class="badge">"Over"</span> })}
                </p>
                <p>{alert.message}</p>
                <p class="soft small">{when}</p>
                {deliveries}
            </div>
        </li>
    }
    .into_any()
}
