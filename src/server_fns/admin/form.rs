//! Parses the fields of the forms.

use domain::{
    admin::{Cutoff, RevokeTarget},
    filter::Filter,
    query::parse_query,
    return_path::safe_return_path,
    session_filter::SessionFilter,
};

use crate::{
    error::{AppError, Resource},
    server::admin::{list_page::List, people::PeopleList, sessions::SessionsList},
};

pub fn parse_target(
    which: &str,
    filter: Option<&str>,
    session: &str,
    user: &str,
) -> Result<RevokeTarget, AppError> {
    Ok(match which {
        "end_listed" => {
            // An empty or invalid filter must not revoke everything. The page names the state explicitly.
            let filter = filter
                .filter(|filter| !filter.is_empty())
                .ok_or_else(|| AppError::invalid_input("filter", "Say which sessions to end."))?;
            let fields = parse_query(filter, SessionFilter::FIELDS, &[])
                .map_err(|error| AppError::invalid_input("filter", error.to_string()))?;
            RevokeTarget::Filter(SessionFilter::parse_for_revocation(&fields)?)
        }
        "end_one" => RevokeTarget::Sessions(vec![
            session
                .parse()
                .map_err(|_| AppError::NotFound(Resource::Session))?,
        ]),
        "end_person" => {
            RevokeTarget::AllOfUser(user.parse().map_err(|_| AppError::NotFound(Resource::User))?)
        }
        _ => return Err(AppError::invalid_input("which", "Say which sessions to end.")),
    })
}

pub fn parse_cutoff(text: &str) -> Result<Cutoff, AppError> {
    text.parse()
        .map_err(|_| AppError::invalid_input("begun_by", "Send a number or a time."))
}

/// The list that the form was on. Any other URL is replaced.
pub fn return_url(next: &str) -> String {
    // Parameters added later must not follow a fragment.
    let next = next.split('#').next().unwrap_or_default();
    let path = next.split('?').next();
    let list = [SessionsList::PATH, PeopleList::PATH]
        .into_iter()
        .find(|list| path == Some(*list));
    let whole = list.and_then(|_| safe_return_path(next));
    whole.or(list).unwrap_or(SessionsList::PATH).to_owned()
}

/// The same dialog again, for the sessions that are left.
pub fn continue_url(page: &str, which: &str, begun_by: &str) -> String {
    let mark = if page.contains('?') { '&' } else { '?' };
    let which = if which == "end_listed" {
        "end_listed"
    } else {
        "end_person"
    };
    format!("{page}{mark}ask={which}&begun_by={begun_by}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn form_redirects_only_to_its_own_list() {
        let long = format!("{}?q={}", PeopleList::PATH, "%C3%BC".repeat(120));
        for (next, page_of) in [
            (
                "/dashboard/admin/sessions?kind=desktop",
                "/dashboard/admin/sessions?kind=desktop",
            ),
            (
                "/dashboard/admin/people?q=kim&person=1",
                "/dashboard/admin/people?q=kim&person=1",
            ),
            // Too long for a return URL: without the filter.
            (&long, PeopleList::PATH),
            ("/dashboard/admin/people/../../login", SessionsList::PATH),
            ("/dashboard/admin/peoples", SessionsList::PATH),
            ("//evil.example/dashboard/admin/people", SessionsList::PATH),
            ("https://evil.example/", SessionsList::PATH),
            ("/dashboard/admin/audit", SessionsList::PATH),
            ("/dashboard/admin/people?q=a#b", "/dashboard/admin/people?q=a"),
            ("", SessionsList::PATH),
        ] {
            assert_eq!(return_url(next), page_of);
        }
    }
}
