//! Renders a list page: filter, heading, table, paging, and what an empty or invalid list says.

use leptos::prelude::*;

use super::{List, ListPage};
use crate::{
    elements::notice::Tone,
    server::admin::{
        confirm_dialog::view_dialog,
        html::{notice, number, tabs, to_html},
        pending_action::PendingAction,
    },
};

/// What a list page shows besides its state.
pub struct ListView {
    pub title: &'static str,
    /// Which rows the administrator sees.
    pub lead: String,
    /// Between head and list.
    pub introduction: Option<AnyView>,
    pub filter_fields: AnyView,
    pub heading: AnyView,
    /// Beside the heading, such as an export.
    pub actions: Option<AnyView>,
    /// Describes the table to screen readers.
    pub caption: String,
    pub columns: &'static [&'static str],
    pub rows: Vec<AnyView>,
    /// What the page says if no row fits the filter.
    pub empty: &'static str,
    /// The details of the selected row.
    pub details: Option<AnyView>,
    /// The labels of the links to the first and the next page.
    pub paging: [&'static str; 2],
}

/// The labels of the links to the first and the next page.
pub const PAGING: [&str; 2] = ["First page", "Next page"];

/// The number of rows on all pages: "1 session", "1,200 sessions".
pub fn count_heading(total: i64, one: &str, many: &str) -> AnyView {
    let text = format!("{} {}", number(total), if total == 1 { one } else { many });
    view! { <span role="status">{text}</span> }.into_any()
}

impl<L: List> ListPage<L> {
    pub fn render(self, view: ListView) -> String {
        let class = if view.details.is_some() {
            "admin-list with-panel"
        } else {
            "admin-list"
        };
        let empty = if self.is_invalid {
            "Nothing is listed for a filter that cannot be read."
        } else if self.state.query.after.is_some() {
            "There is nothing more."
        } else {
            view.empty
        };
        let paging = self.view_paging(view.paging);
        let actions = view
            .actions
            .map(|actions| view! { <div class="card-aside actions">{actions}</div> });
        let dialog = self.dialog.map(|dialog| {
            let page = self.state.with_pending(None);
            let next = match dialog.action {
                PendingAction::RevokeListed => page.with_selected(None).url(),
                _ => page.url(),
            };
            view_dialog(dialog, page.url(), next)
        });
        to_html(view! {
            <header class="page-head">
                <h1>{view.title}</h1>
                <p class="lead">{view.lead}</p>
            </header>
            {tabs(L::PATH)}
            {self.problem.map(|problem| notice(Tone::Warning, problem))}
            {self.outcome.map(|text| notice(Tone::Success, text))}
            {view.introduction}
            <div class=class>
                <section class="card" aria-labelledby="list-title">
                    {filter_form(L::PATH, view.filter_fields)}
                    <header class="card-head">
                        <h2 id="list-title" tabindex="-1">
                            {view.heading}
                        </h2>
                        {actions}
                    </header>
                    {table(view.caption, view.columns, view.rows, empty)}
                    {paging}
                </section>
                {view.details}
            </div>
            {dialog}
        })
    }

    fn view_paging(&self, [first_label, next_label]: [&'static str; 2]) -> Option<AnyView> {
        let first = self.state.query.after.is_some().then(|| {
            view! {
                <a class="button small" href=self.state.starting_after(None).url() data-noscroll="">
                    {first_label}
                </a>
            }
        });
        let next = L::next(&self.rows).map(|next| {
            view! {
                <a class="button small" id="next-page" href=self.state.starting_after(Some(next.clone())).url()>
                    {next_label}
                </a>
            }
        });
        (first.is_some() || next.is_some()).then(|| {
            view! { <nav class="card-foot actions end" aria-label="Pages">{first} {next}</nav> }.into_any()
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

fn table(caption: String, columns: &[&'static str], rows: Vec<AnyView>, empty: &'static str) -> AnyView {
    if rows.is_empty() {
        return view! {
            <div class="card-body">
                <p class="soft">{empty}</p>
            </div>
        }
        .into_any();
    }
    let columns = columns
        .iter()
        .map(|column| view! { <th scope="col">{*column}</th> })
        .collect::<Vec<_>>();
    view! {
        <table class="table stacks">
            <caption class="visually-hidden">{caption}</caption>
            <thead>
                <tr>{columns}</tr>
            </thead>
            <tbody>{rows}</tbody>
        </table>
    }
    .into_any()
}
