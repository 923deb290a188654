//! What the forms send.

use chrono::{DateTime, Utc};

use crate::{
    domain::{
        next::{form_value, safe_path},
        review::Which,
        session_filter::SessionFilter,
        time::parse_rfc3339,
    },
    error::AppError,
    server::drawn::sessions::PATH,
};

pub fn which(which: &str, filter: Option<&str>, session: &str, user: &str) -> Result<Which, AppError> {
    Ok(match which {
        "end_listed" => {
            // A missing or misspelt one must not end everything; an empty one is everything on purpose.
            let filter = filter.ok_or_else(|| AppError::invalid("filter", "Say which sessions to end."))?;
            let names = filter.split('&').filter(|pair| !pair.is_empty());
            let mut names = names.map(|pair| pair.split('=').next().unwrap_or_default());
            if names.any(|name| !SessionFilter::FIELDS.contains(&name)) {
                return Err(AppError::invalid(
                    "filter",
                    "There is a name in it that is no filter.",
                ));
            }
            Which::Listed(SessionFilter::read(|name| form_value(filter, name))?)
        }
        "end_one" => Which::Sessions(vec![session.parse().map_err(|_| AppError::NotFound)?]),
        "end_person" => Which::OfPerson(user.parse().map_err(|_| AppError::NotFound)?),
        _ => return Err(AppError::invalid("which", "Say which sessions to end.")),
    })
}

pub fn time(text: &str) -> Result<DateTime<Utc>, AppError> {
    parse_rfc3339(text).ok_or_else(|| AppError::invalid("begun_by", "Send a time."))
}

/// Back to the list, whatever the form says.
pub fn page(next: &str) -> String {
    let own = |path: &&str| path.split('?').next() == Some(PATH);
    safe_path(next).filter(own).unwrap_or(PATH).to_owned()
}

/// The question once more, for what is left.
pub fn go_on(page: &str, which: &str, begun_by: &str, ended: usize) -> String {
    let mark = if page.contains('?') { '&' } else { '?' };
    let which = if which == "end_listed" {
        "end_listed"
    } else {
        "end_person"
    };
    format!("{page}{mark}ask={which}&begun_by={begun_by}&ended={ended}")
}
