//! The filter of the list of users. Shared by the list and its count, so that they cannot differ. Parsed from the URL
//! like [`super::session_filter`].

use super::{
    session_filter::{InvalidFilter, join_names, named_values, parse_choice, parse_search_text},
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
    /// What happens when the user tries to sign in.
    AccountStatus {
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

impl PeopleFilter {
    /// The field names in query strings.
    pub const FIELDS: [&'static str; 3] = ["q", "role", "state"];

    /// Parses a filter from named values. An empty value counts as absent.
    ///
    /// # Errors
    /// [`InvalidFilter`] for the first value that cannot be parsed.
    pub fn parse(get: impl Fn(&str) -> Option<String>) -> Result<Self, InvalidFilter> {
        let text = |name: &str| get(name).map(|text| text.trim().to_owned()).unwrap_or_default();
        let roles = join_names(Role::ALL.iter().map(|role| role.as_str()));
        let states = join_names(AccountStatus::ALL.iter().map(|state| state.as_str()));
        Ok(Self {
            q: parse_search_text("q", &text("q"))?,
            role: parse_choice("role", &text("role"), |text| text.parse().ok(), &roles)?,
            state: parse_choice("state", &text("state"), AccountStatus::from_name, &states)?,
        })
    }

    /// The fields that are set, as names and values.
    pub fn pairs(&self) -> Vec<(&'static str, String)> {
        let fields = [
            ("q", self.q.clone()),
            ("role", self.role.map(|role| role.as_str().to_owned())),
            ("state", self.state.map(|state| state.as_str().to_owned())),
        ];
        fields
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
            .collect()
    }

    /// Describes the list: "people matching “kim” · with the role Broker".
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
    use crate::query::{encode_query_value, query_param};

    fn read(query: &str) -> Result<PeopleFilter, InvalidFilter> {
        PeopleFilter::parse(|name| query_param(query, name))
    }

    #[test]
    fn empty_filter_lists_everyone() {
        assert_eq!(read("q=+&role=&state="), Ok(PeopleFilter::default()));
    }

    #[test]
    fn filter_round_trips_through_the_url() {
        for state in AccountStatus::ALL {
            let query = format!("q=m%C3%BCller%20%26%20co&role=vendor&state={}", state.as_str());
            let filter = read(&query).expect("a filter");
            assert_eq!(
                (filter.q.as_deref(), filter.role, filter.state),
                (Some("müller & co"), Some(Role::Vendor), Some(*state))
            );
            let pairs = filter.pairs();
            let names: Vec<&str> = pairs.iter().map(|(name, _)| *name).collect();
            assert_eq!(names, PeopleFilter::FIELDS);
            let pairs = pairs
                .iter()
                .map(|(name, value)| format!("{name}={}", encode_query_value(value)));
            assert_eq!(pairs.collect::<Vec<_>>().join("&"), query);
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
            assert_eq!(read(query).expect_err(query).field, field);
        }
    }
}
