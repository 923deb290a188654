//! Charts as SVG, each with a table of its values: the picture is for a glance, the table for everyone.

use chrono::{DateTime, Utc};
use leptos::prelude::*;

use crate::server::admin::html::number;
use domain::{
    statistics::{Chart, Period, Series, Unit},
    time::format_rfc3339,
};

/// Sizes in SVG units.
const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 160.0;
const LEFT: f64 = 72.0;
const BOTTOM: f64 = 20.0;
const TOP: f64 = 8.0;

/// Lines that differ in colour and dashes. Further lines repeat the styles; the table names them.
const STYLES: usize = 12;

/// A chart with its title, legend and table. `summary` describes it for screen readers.
pub fn view_chart(id: &'static str, title: &'static str, period: Period, chart: &Chart) -> AnyView {
    let values = || {
        chart
            .series
            .iter()
            .flat_map(|series| series.points.iter().filter_map(|point| point.value))
    };
    if values().next().is_none() {
        return view! {
            <section class="card chart" aria-labelledby=id>
                <h3 id=id>{title}</h3>
                <p class="soft">"Nothing to show yet for this time."</p>
            </section>
        }
        .into_any();
    }
    let most = nice(values().fold(0.0, f64::max));
    let summary = summary(title, chart);
    let legend = chart
        .series
        .iter()
        .enumerate()
        .map(|(place, series)| {
            view! {
                <li>
                    <svg class=format!("key line-{}", place % STYLES) viewBox="0 0 48 8" aria-hidden="true">
                        <path d="M0 4H48"></path>
                    </svg>
                    {series.label.clone()}
                </li>
            }
        })
        .collect::<Vec<_>>();
    let lines = chart
        .series
        .iter()
        .enumerate()
        .map(|(place, series)| {
            view! { <path class=format!("line-{}", place % STYLES) d=path(series, most)></path> }
        })
        .collect::<Vec<_>>();
    let grid = [0.0, 0.5, 1.0].map(|part| {
        let y = y(part * most, most);
        view! {
            <path class="grid" d=format!("M{LEFT} {y:.1}H{WIDTH}")></path>
            <text x=format!("{}", LEFT - 6.0) y=format!("{:.1}", y + 4.0) text-anchor="end">
                {figure(part * most, chart.unit)}
            </text>
        }
    });
    view! {
        <section class="card chart" aria-labelledby=id>
            <h3 id=id>{title}</h3>
            <svg viewBox=format!("0 0 {WIDTH} {}", HEIGHT + TOP + BOTTOM) role="img" aria-label=summary>
                {grid.into_iter().collect::<Vec<_>>()}
                {ticks(chart, period)}
                {lines}
            </svg>
            <ul class="legend">{legend}</ul>
            {table(title, period, chart)}
        </section>
    }
    .into_any()
}

/// Describes a chart in one sentence.
fn summary(title: &str, chart: &Chart) -> String {
    let parts: Vec<String> = chart
        .series
        .iter()
        .map(|series| {
            let values: Vec<f64> = series.points.iter().filter_map(|point| point.value).collect();
            let last = values.last().copied().unwrap_or_default();
            let most = values.iter().copied().fold(0.0, f64::max);
            format!(
                "{}: {} at the end, {} at most",
                series.label,
                figure(last, chart.unit),
                figure(most, chart.unit)
            )
        })
        .collect();
    format!("{title}. {}. The table below has every figure.", parts.join("; "))
}

fn table(title: &str, period: Period, chart: &Chart) -> AnyView {
    let heads = chart
        .series
        .iter()
        .map(|series| view! { <th scope="col" class="num">{series.label.clone()}</th> })
        .collect::<Vec<_>>();
    let steps: Vec<DateTime<Utc>> = chart
        .series
        .first()
        .map(|series| series.points.iter().map(|point| point.at).collect())
        .unwrap_or_default();
    let rows = steps
        .iter()
        .enumerate()
        .map(|(step, at)| {
            let cells = chart
                .series
                .iter()
                .map(|series| {
                    let value = series.points.get(step).and_then(|point| point.value);
                    let text = value.map_or_else(|| "–".to_owned(), |value| figure(value, chart.unit));
                    view! { <td class="num">{text}</td> }
                })
                .collect::<Vec<_>>();
            view! {
                <tr>
                    <th scope="row">
                        <time datetime=format_rfc3339(*at)>{named(*at, period)}</time>
                    </th>
                    {cells}
                </tr>
            }
        })
        .collect::<Vec<_>>();
    view! {
        <details>
            <summary>"Show as a table"</summary>
            <div class="table-scroll" role="region" tabindex="0" aria-label=format!("{title}, as a table")>
                <table class="table figures">
                    <thead>
                        <tr>
                            <th scope="col">"Time (UTC)"</th>
                            {heads}
                        </tr>
                    </thead>
                    <tbody>{rows}</tbody>
                </table>
            </div>
        </details>
    }
    .into_any()
}

fn ticks(chart: &Chart, period: Period) -> AnyView {
    let points = chart
        .series
        .first()
        .map(|series| series.points.as_slice())
        .unwrap_or_default();
    let every = (points.len() / 6).max(1);
    points
        .iter()
        .enumerate()
        .filter(|(place, _)| place % every == 0)
        .map(|(place, point)| {
            let x = x(place, points.len());
            view! {
                <text x=format!("{x:.1}") y=format!("{:.1}", TOP + HEIGHT + BOTTOM - 4.0) text-anchor="middle">
                    {named(point.at, period)}
                </text>
            }
        })
        .collect::<Vec<_>>()
        .into_any()
}

fn named(at: DateTime<Utc>, period: Period) -> String {
    match period {
        Period::Day => at.format("%H:%M").to_string(),
        Period::Month => at.format("%-d %b").to_string(),
    }
}

/// The line of a series. It breaks where values are missing. A single point is a dot.
fn path(series: &Series, most: f64) -> String {
    let mut path = String::new();
    let mut is_drawing = false;
    let value = |place: usize| series.points.get(place).and_then(|point| point.value);
    for (place, point) in series.points.iter().enumerate() {
        let Some(here) = point.value else {
            is_drawing = false;
            continue;
        };
        let (x, y) = (x(place, series.points.len()), y(here, most));
        path.push_str(&format!("{}{x:.1} {y:.1}", if is_drawing { "L" } else { "M" }));
        if !is_drawing && value(place + 1).is_none() {
            path.push_str("m-2.5 0h5");
        }
        is_drawing = true;
    }
    path
}

#[expect(clippy::cast_precision_loss, reason = "a chart has a few dozen points")]
fn x(place: usize, count: usize) -> f64 {
    let last = count.saturating_sub(1).max(1) as f64;
    LEFT + 8.0 + (WIDTH - LEFT - 24.0) * place as f64 / last
}

fn y(value: f64, most: f64) -> f64 {
    TOP + HEIGHT * (1.0 - value / most)
}

/// The next round number for the end of an axis.
fn nice(most: f64) -> f64 {
    if most <= 0.0 {
        return 1.0;
    }
    let power = 10f64.powf(most.log10().floor());
    [1.0, 2.0, 4.0, 5.0, 10.0]
        .into_iter()
        .map(|step| step * power)
        .find(|end| *end >= most)
        .unwrap_or(most)
}

/// A value with its unit.
fn figure(value: f64, unit: Unit) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "figures of a portal are far below"
    )]
    let whole = value.round() as i64;
    match unit {
        Unit::Sessions | Unit::SignIns | Unit::Exchanges if value.fract() != 0.0 => {
            format!("{value:.1}")
        }
        Unit::Sessions | Unit::SignIns | Unit::Exchanges => number(whole),
        Unit::Milliseconds => format!("{} ms", number(whole)),
        Unit::Seconds => match whole {
            ..120 => format!("{whole} s"),
            120..7200 => format!("{} min", whole / 60),
            _ => format!("{:.1} h", value / 3600.0),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::statistics::Point;

    fn series(values: &[Option<f64>]) -> Series {
        let point = |value: &Option<f64>| Point {
            at: DateTime::UNIX_EPOCH,
            value: *value,
        };
        Series {
            name: "a".to_owned(),
            label: "A".to_owned(),
            points: values.iter().map(point).collect(),
        }
    }

    #[test]
    fn line_breaks_where_values_are_missing() {
        let path = path(&series(&[Some(1.0), Some(2.0), None, Some(0.0)]), 2.0);
        assert_eq!(path.matches('M').count(), 2, "{path}");
        assert_eq!(path.matches('L').count(), 1, "{path}");
        assert!(path.ends_with("h5"), "a lone point is seen: {path}");
    }

    #[test]
    fn lines_differ_without_colour() {
        let css = include_str!("../../../../style/components/chart.css");
        let dashes = |style: usize| {
            let rule = css
                .lines()
                .find(|line| line.starts_with(&format!(".line-{style} ")))
                .expect("a rule");
            rule.split_once("stroke-dasharray:").map(|(_, dashes)| dashes)
        };
        let all: std::collections::BTreeSet<_> = (0..STYLES).map(dashes).collect();
        assert_eq!(all.len(), STYLES);
    }

    #[test]
    fn axis_ends_at_a_round_number() {
        for (most, end) in [
            (0.0, 1.0),
            (3.0, 4.0),
            (41.0, 50.0),
            (100.0, 100.0),
            (101.0, 200.0),
        ] {
            assert!((nice(most) - end).abs() < 1e-9, "{most}");
        }
    }
}
