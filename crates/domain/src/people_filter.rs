//! The filter of the list of users. The list and its count share it, so that they cannot differ.

use super::{
    filter::{Filter, InvalidFilter, parse_choice, parse_text, set_fields, text},
    named_values::named_values,
    query::QueryFields,
    user::Role,
};

/// Selects users. Empty: every user that the administrator may see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeopleFilter {
    /// Part of a name or email.
    pub q: Option<String>,
    /// The role in the administrator's organization. For system administrators: in any organization.
    pub role: Option<Role>,
    pub state: Option<AccountStatus>,
}

named_values! {
    /// The status of an account. It determines what happens at the next sign-in.
    pub enum AccountStatus {
        Active = "active", "Active";
        Disabled = "disabled", "Disabled";
        /// The next sign-in requires a new password.
        PasswordChangeRequired = "new_password", "Must choose a new password";
    }
}

impl AccountStatus {
    /// A disabled account has priority over a required password change.
    pub fn new(is_disabled: bool, password_change_required: bool) -> Self {
        match (is_disabled, password_change_required) {
            (true, _) => Self::Disabled,
            (false, true) => Self::PasswordChangeRequired,
            (false, false) => Self::Active,
        }
    }
}

impl Filter for PeopleFilter {
    const FIELDS: &'static [&'static str] = &["q", "role", "state"];

    fn parse(fields: &QueryFields) -> Result<Self, InvalidFilter> {
        Ok(Self {
            q: parse_text(fields, "q")?,
            role: parse_choice(fields, "role")?,
            state: parse_choice(fields, "state")?,
        })
    }

    fn to_pairs(&self) -> Vec<(&'static str, String)> {
        set_fields([
            ("q", text(&self.q)),
            ("role", text(&self.role)),
            ("state", text(&self.state)),
        ])
    }
}

impl PeopleFilter {
    /// Returns a description of the list for its caption: "people matching “kim” · with the role Broker".
    pub fn describe(&self) -> String {
        let mut words = vec![match &self.q {
            Some(q) => format!("people matching “{q}”"),
            None => "people".to_owned(),
        }];
        if let Some(role) = self.role {
            words.push(format!("with the role {}", role.label()));
        }
        if let Some(state) = self.state {
            words.push(state.label().to_lowercase());
        }
        words.join(" · ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::{self, QueryFields};

    fn fields(query: &str) -> QueryFields {
        query::parse_query(query, PeopleFilter::FIELDS, &[]).expect(query)
    }

    fn parse_query(query: &str) -> Result<PeopleFilter, InvalidFilter> {
        PeopleFilter::parse(&fields(query))
    }

    #[test]
    fn empty_filter_lists_everyone() {
        assert_eq!(parse_query("q=+&role=&state="), Ok(PeopleFilter::default()));
    }

    #[test]
    fn filter_round_trips_through_the_url() {
        for state in AccountStatus::ALL {
            let query = format!("q=m%C3%BCller%20%26%20co&role=vendor&state={}", state.as_str());
            let filter = parse_query(&query).expect("a filter");
            assert_eq!(
                (filter.q.as_deref(), filter.role, filter.state),
                (Some("müller & co"), Some(Role::Vendor), Some(state))
            );
            let names: Vec<&str> = filter.to_pairs().iter().map(|(name, _)| *name).collect();
            assert_eq!(names, PeopleFilter::FIELDS);
            assert_eq!(filter.to_query_string(), query);
        }
    }

    #[test]
    fn invalid_values_are_rejected_by_field_name() {
        let long = format!("q={}", "a".repeat(121));
        for (query, field) in [
            ("role=Broker", "role"),
            ("state=gone", "state"),
            ("q=a%0Ab", "q"),
            ("q=a%E2%80%8B", "q"),
            (&long, "q"),
        ] {
            assert_eq!(parse_query(query).expect_err(query).field, field);
        }
    }
}
