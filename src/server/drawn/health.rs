//! `/dashboard/admin/health`: how the portal has been doing, what is wrong, and who is told.

use chrono::{DateTime, Utc};
use leptos::prelude::*;

use super::{
    chart, drawn, tabs,
    words::{age, moment, notice},
};
use domain::{
    alert::{Alert, AlertList, AlertRuleSetting, Delivery, DeliveryOutcome},
    query::query_param,
    statistics::{Period, Statistics},
    time::pluralize,
};

use crate::{
    elements::{
        icon::{Icon, IconName},
        notice::Tone,
    },
    server::health::Check,
};

pub const PATH: &str = "/dashboard/admin/health";

/// What the address asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub period: Period,
}

impl Place {
    pub fn read(query: &str) -> Self {
        let period = match query_param(query, "period").as_deref() {
            Some("month") => Period::Month,
            _ => Period::Day,
        };
        Self { period }
    }
}

/// What is told of the whole portal, to system administrators.
pub struct Whole {
    pub checks: Vec<Check>,
    pub alerts: AlertList,
    pub rules: Vec<AlertRuleSetting>,
    pub has_webhook: bool,
    pub asks_password: bool,
}

/// Everything that is drawn.
pub struct Drawing {
    pub place: Place,
    pub organization: Option<String>,
    pub statistics: Statistics,
    pub whole: Option<Whole>,
    pub outcome: Option<(Tone, String)>,
    pub now: DateTime<Utc>,
}

/// Draws the page.
pub fn draw(drawing: Drawing) -> String {
    let Drawing {
        place,
        organization,
        statistics,
        whole,
        outcome,
        now,
    } = drawing;
    let whose = match &organization {
        Some(name) => format!("How sessions of the people of {name} have been doing."),
        None => "How the portal has been doing.".to_owned(),
    };
    let period = statistics.period;
    let choice = |of: Period, query: &'static str, label: &'static str| {
        view! {
            <a href=format!("{PATH}{query}") data-noscroll="" aria-current=(place.period == of).then_some("true")>
                {label}
            </a>
        }
    };
    let charts = vec![
        chart::draw(
            "live",
            "Live sessions by role and kind",
            period,
            &statistics.live_sessions,
        ),
        chart::draw("sign-ins", "Sign-ins", period, &statistics.sign_ins),
        chart::draw(
            "ended",
            "Sessions ended, by reason",
            period,
            &statistics.ended_sessions,
        ),
        chart::draw("length", "Length of sessions", period, &statistics.session_length),
    ];
    let more = [
        (
            "revocation",
            "From a revocation to its last stream told",
            statistics.revocation.as_ref(),
        ),
        (
            "refreshes",
            "Exchanges of refresh tokens",
            statistics.refreshes.as_ref(),
        ),
    ];
    let more = more
        .into_iter()
        .filter_map(|(id, title, each)| Some(chart::draw(id, title, period, each?)));
    let charts: Vec<AnyView> = charts.into_iter().chain(more).collect();
    drawn(view! {
        <header class="page-head">
            <h1>"Health"</h1>
            <p class="lead">{whose}</p>
        </header>
        {tabs(PATH)}
        {outcome.map(|(tone, text)| notice(tone, text))}
        {whole.map(|whole| state(whole, now))}
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

fn state(whole: Whole, now: DateTime<Utc>) -> AnyView {
    let Whole {
        checks,
        alerts,
        rules,
        has_webhook,
        asks_password,
    } = whole;
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
                (IconName::AlertCircle, "unwell")
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
    let password = asks_password.then(|| {
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
                <input type="hidden" name="next" value=PATH />
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
                "Nobody is told of alerts: the operators can set " <code>"PORTAL_ALERT_WEBHOOK_URL"</code> "."
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

/// What became of telling the webhook.
fn delivery(told: &Delivery) -> AnyView {
    let error = told
        .last_error
        .clone()
        .map(|error| format!(": {error}"))
        .unwrap_or_default();
    let became = match told.outcome {
        DeliveryOutcome::Delivered => view! { "delivered " {moment(told.outcome_at)} }.into_any(),
        DeliveryOutcome::Waiting if told.attempts == 0 => view! { "on its way" }.into_any(),
        DeliveryOutcome::Waiting => {
            view! { "tried " {pluralize(told.attempts.into(), "time")} ", again " {moment(told.outcome_at)} {error} }.into_any()
        }
        DeliveryOutcome::GivenUp => view! { "given up " {moment(told.outcome_at)} {error} }.into_any(),
    };
    view! {
        <p class="soft small">
            "Webhook, " {told.state.clone()} ": " {became}
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
    let told = alert.deliveries.iter().map(delivery).collect::<Vec<_>>();
    view! {
        <li class=if is_open { "unwell" } else { "" }>
            <Icon name=if is_open { IconName::AlertTriangle } else { IconName::Check } />
            <div>
                <p>
                    <strong>{alert.rule.label()}</strong>
                    {(!is_open).then(|| view! { <span class="badge">"Over"</span> })}
                </p>
                <p>{alert.message}</p>
                <p class="soft small">{when}</p>
                {told}
            </div>
        </li>
    }
    .into_any()
}
