//! The page of a list: filter, heading, table, paging, and what an empty or invalid list says.

use leptos::prelude::*;

use super::html::{notice, number, tabs, to_html};
use crate::elements::notice::Tone;

/// A page of a list.
pub struct ListPage {
    pub path: &'static str,
    pub title: &'static str,
    /// Which rows the administrator sees.
    pub lead: String,
    /// Why the query is invalid, or what else is not shown.
    pub problem: Option<String>,
    /// The result of the form that was sent before, without JavaScript.
    pub outcome: Option<String>,
    /// Between head and list.
    pub introduction: Option<AnyView>,
    pub filter_fields: AnyView,
    pub heading: AnyView,
    /// Beside the heading, such as an export.
    pub actions: Option<AnyView>,
    pub table: Table,
    pub paging: Paging,
    /// The details of the selected row.
    pub details: Option<AnyView>,
    pub dialog: Option<AnyView>,
}

pub struct Table {
    pub caption: String,
    pub columns: Vec<&'static str>,
    pub rows: Vec<AnyView>,
    /// What the page says instead of an empty table.
    pub empty: &'static str,
}

/// The URLs of the first and the next page, where there are.
pub struct Paging {
    pub first: Option<String>,
    pub first_label: &'static str,
    pub next: Option<String>,
    pub next_label: &'static str,
}

impl Paging {
    pub fn new(first: Option<String>, next: Option<String>) -> Self {
        Self {
            first,
            first_label: "First page",
            next,
            next_label: "Next page",
        }
    }
}

/// The number of rows on all pages: "1 session", "1,200 sessions".
pub fn count_heading(total: i64, one: &str, many: &str) -> AnyView {
    let text = format!("{} {}", number(total), if total == 1 { one } else { many });
    view! { <span role="status">{text}</span> }.into_any()
}

impl ListPage {
    pub fn render(self) -> String {
        let class = if self.details.is_some() {
            "review with-panel"
        } else {
            "review"
        };
        let actions = self
            .actions
            .map(|actions| view! { <div class="card-aside actions">{actions}</div> });
        to_html(view! {
            <header class="page-head">
                <h1>{self.title}</h1>
                <p class="lead">{self.lead}</p>
            </header>
            {tabs(self.path)}
            {self.problem.map(|problem| notice(Tone::Warning, problem))}
            {self.outcome.map(|text| notice(Tone::Success, text))}
            {self.introduction}
            <div class=class>
                <section class="card" aria-labelledby="list-title">
                    {filter_form(self.path, self.filter_fields)}
                    <header class="card-head">
                        <h2 id="list-title" tabindex="-1">
                            {self.heading}
                        </h2>
                        {actions}
                    </header>
                    {table(self.table)}
                    {paging(self.paging)}
                </section>
                {self.details}
            </div>
            {self.dialog}
        })
    }
}

fn filter_form(path: &'static str, fields: AnyView) -> AnyView {
    view! {
        <form class="filter" role="search" method="get" action=path data-live="">
            {fields}
            <div class="filter-foot actions">
                <button class="button small" type="submit">
                    "Show"
                </button>
                <a class="button small quiet" href=path data-noscroll="">
                    "Clear"
                </a>
            </div>
        </form>
    }
    .into_any()
}

fn table(table: Table) -> AnyView {
    if table.rows.is_empty() {
        return view! {
            <div class="card-body">
                <p class="soft">{table.empty}</p>
            </div>
        }
        .into_any();
    }
    let columns = table
        .columns
        .into_iter()
        .map(|column| view! { <th scope="col">{column}</th> })
        .collect::<Vec<_>>();
    view! {
        <table class="table stacks">
            <caption class="visually-hidden">{table.caption}</caption>
            <thead>
                <tr>{columns}</tr>
            </thead>
            <tbody>{table.rows}</tbody>
        </table>
    }
    .into_any()
}

fn paging(paging: Paging) -> Option<AnyView> {
    if paging.first.is_none() && paging.next.is_none() {
        return None;
    }
    let first = paging.first.map(|first| {
        view! {
            <a class="button small" href=first data-noscroll="">
                {paging.first_label}
            </a>
        }
    });
    let next = paging.next.map(|next| {
        view! {
            <a class="button small" id="next-page" href=next>
                {paging.next_label}
            </a>
        }
    });
    let links = view! { <nav class="card-foot actions end" aria-label="Pages">{first} {next}</nav> };
    Some(links.into_any())
}
