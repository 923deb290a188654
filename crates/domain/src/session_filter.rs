//! The filter of the list of sessions. Shared by the list, its count, its export and bulk revocation, so that they
//! cannot differ.
//!
//! The page, the API and saved links use the same query string. To add a field: extend [`SessionFilter::parse`] and
//! [`SessionFilter::pairs`], and add its condition in the store.

use chrono::TimeDelta;

use super::{
    ids::UserId,
    plain_text::{is_blank, parse_line},
    query::encode_query_value,
    session::{ClientKind, EndReason},
    user::Role,
};

/// In characters.
const MAX_SEARCH: usize = 120;

/// Selects sessions. Empty: every live session that the administrator may see. Revocation rejects an empty filter; see
/// [`SessionFilter::has_condition`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "server", derive(utoipa::IntoParams))]
#[cfg_attr(feature = "server", into_params(parameter_in = Query))]
pub struct SessionFilter {
    /// Part of a user's name or email or of a desktop's name; an IP address or network; or a session id.
    pub q: Option<String>,
    /// A user id.
    #[cfg_attr(feature = "server", param(value_type = Option<String>))]
    pub user: Option<UserId>,
    /// `browser` or `desktop`.
    #[cfg_attr(feature = "server", param(value_type = Option<String>))]
    pub kind: Option<ClientKind>,
    /// A role, for example `broker`.
    #[cfg_attr(feature = "server", param(value_type = Option<String>))]
    pub role: Option<Role>,
    /// `live` (the default), `ended` or `all`.
    // In a revocation, only `Some(Live)` without another condition selects all live sessions.
    #[cfg_attr(feature = "server", param(value_type = Option<String>))]
    pub state: Option<StateFilter>,
    /// An end reason, for example `revoked`.
    // Selects ended sessions only, because live sessions have no reason.
    #[cfg_attr(feature = "server", param(value_type = Option<String>))]
    pub reason: Option<EndReason>,
    /// When the session was created: `within_hour`, `within_day`, `within_week`, `over_day`, `over_week`.
    #[cfg_attr(feature = "server", param(value_type = Option<String>))]
    pub age: Option<SessionAge>,
    /// `raised`, `unanswered` or `none`.
    #[cfg_attr(feature = "server", param(value_type = Option<String>))]
    pub suspicion: Option<SuspicionFilter>,
}

/// Defines an enum whose values have a public name and a label.
macro_rules! named_values {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal, $label:literal;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
        }

        impl $name {
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The public name, in URLs and the API.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// The label that users read.
            pub fn label(self) -> &'static str {
                match self { $(Self::$variant => $label,)* }
            }

            fn from_name(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.as_str() == text)
            }
        }
    };
}
pub(super) use named_values;

named_values! {
    /// Whether sessions are live.
    #[derive(Default)]
    StateFilter {
        #[default]
        Live = "live", "Live";
        Ended = "ended", "Ended";
        All = "all", "Live and ended";
    }
}

named_values! {
    /// How long ago a session was created.
    SessionAge {
        WithinHour = "within_hour", "In the last hour";
        WithinDay = "within_day", "In the last day";
        WithinWeek = "within_week", "In the last week";
        OverDay = "over_day", "More than a day ago";
        OverWeek = "over_week", "More than a week ago";
    }
}

impl SessionAge {
    /// The age, and whether younger (`true`) or older sessions are selected.
    pub fn limit(self) -> (TimeDelta, bool) {
        match self {
            SessionAge::WithinHour => (TimeDelta::hours(1), true),
            SessionAge::WithinDay => (TimeDelta::days(1), true),
            SessionAge::WithinWeek => (TimeDelta::weeks(1), true),
            SessionAge::OverDay => (TimeDelta::days(1), false),
            SessionAge::OverWeek => (TimeDelta::weeks(1), false),
        }
    }
}

named_values! {
    /// Whether a session has a security notice, and whether the user answered it.
    SuspicionFilter {
        Raised = "raised", "Something unusual";
        Unanswered = "unanswered", "Unusual, not answered";
        None = "none", "Nothing unusual";
    }
}

named_values! {
    /// The order of the list. Sessions with equal keys are ordered by id.
    #[derive(Default)]
    SessionSort {
        #[default]
        LastActive = "last_active", "Last active";
        CreatedAt = "began", "Began";
        User = "person", "Person";
    }
}

impl SessionSort {
    /// Parses the name of an order.
    ///
    /// # Errors
    /// [`InvalidFilter`] for an unknown name.
    pub fn parse(text: Option<&str>) -> Result<Self, InvalidFilter> {
        parse_choice(
            "sort",
            text.unwrap_or_default(),
            SessionSort::from_name,
            &join_names(SessionSort::ALL.iter().map(|s| s.as_str())),
        )
        .map(Option::unwrap_or_default)
    }
}

/// A filter that cannot be parsed. It must not select, or revoke, everything.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct InvalidFilter {
    pub field: &'static str,
    /// What to change.
    pub problem: String,
}

impl SessionFilter {
    /// The field names in query strings and the API.
    pub const FIELDS: [&'static str; 8] =
        ["q", "user", "kind", "role", "state", "reason", "age", "suspicion"];

    /// Parses a filter from named values. An empty value counts as absent.
    ///
    /// # Errors
    /// [`InvalidFilter`] for the first value that cannot be parsed.
    pub fn parse(get: impl Fn(&str) -> Option<String>) -> Result<Self, InvalidFilter> {
        let text = |name: &str| get(name).map(|text| text.trim().to_owned()).unwrap_or_default();
        let q = parse_search_text("q", &text("q"))?;
        let user = match text("user").as_str() {
            "" => None,
            id => Some(id.parse().map_err(|_| InvalidFilter {
                field: "user",
                problem: "Give the id of a user.".to_owned(),
            })?),
        };
        let of = |names: &'static [&'static str]| names.join(", ");
        let roles = join_names(Role::ALL.iter().map(|role| role.as_str()));
        let reasons = join_names(EndReason::ALL.iter().map(|reason| reason.as_str()));
        let filter = Self {
            q,
            user,
            kind: parse_choice(
                "kind",
                &text("kind"),
                |text| text.parse().ok(),
                &of(&["browser", "desktop"]),
            )?,
            role: parse_choice("role", &text("role"), |text| text.parse().ok(), &roles)?,
            state: parse_choice(
                "state",
                &text("state"),
                StateFilter::from_name,
                &of(&["live", "ended", "all"]),
            )?,
            reason: parse_choice("reason", &text("reason"), |text| text.parse().ok(), &reasons)?,
            age: parse_choice(
                "age",
                &text("age"),
                SessionAge::from_name,
                &join_names(SessionAge::ALL.iter().map(|age| age.as_str())),
            )?,
            suspicion: parse_choice(
                "suspicion",
                &text("suspicion"),
                SuspicionFilter::from_name,
                &join_names(SuspicionFilter::ALL.iter().map(|suspicion| suspicion.as_str())),
            )?,
        };
        Ok(filter)
    }

    /// Parses a filter for a revocation. A field without a value is rejected: a script with an empty variable must not
    /// revoke more than intended.
    ///
    /// # Errors
    /// As [`Self::parse`], and [`InvalidFilter`] for the first field without a value.
    pub fn parse_for_revocation(get: impl Fn(&str) -> Option<String>) -> Result<Self, InvalidFilter> {
        let is_blank = |name: &&str| get(name).is_some_and(|text| is_blank(&text));
        if let Some(field) = Self::FIELDS.into_iter().find(is_blank) {
            let problem = format!("“{field}” has no value. Nothing was ended. Give one, or leave it out.");
            return Err(InvalidFilter { field, problem });
        }
        Self::parse(get)
    }

    /// Whether the filter has at least one field, including the state.
    pub fn has_condition(&self) -> bool {
        *self != Self::default()
    }

    /// The state of the selected sessions.
    pub fn effective_state(&self) -> StateFilter {
        self.state.unwrap_or_default()
    }

    /// Whether it lists live sessions only. No other list can be revoked.
    pub fn lists_only_live(&self) -> bool {
        self.effective_state() == StateFilter::Live && self.reason.is_none()
    }

    /// The same filter with an explicit state, for a page that has shown the user what it selects.
    pub fn with_explicit_state(&self) -> Self {
        Self {
            state: Some(self.effective_state()),
            ..self.clone()
        }
    }

    /// The fields that are set, as names and values.
    pub fn pairs(&self) -> Vec<(&'static str, String)> {
        let state = self.state.filter(|state| *state != StateFilter::default());
        let fields = [
            ("q", self.q.clone()),
            ("user", self.user.map(|user| user.to_string())),
            ("kind", self.kind.map(|kind| kind.as_str().to_owned())),
            ("role", self.role.map(|role| role.as_str().to_owned())),
            ("state", state.map(|state| state.as_str().to_owned())),
            ("reason", self.reason.map(|reason| reason.as_str().to_owned())),
            ("age", self.age.map(|age| age.as_str().to_owned())),
            (
                "suspicion",
                self.suspicion.map(|suspicion| suspicion.as_str().to_owned()),
            ),
        ];
        fields
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
            .collect()
    }

    /// The fields that are set, as a query string without a question mark.
    pub fn query(&self) -> String {
        let pairs = self.pairs();
        let pairs = pairs
            .iter()
            .map(|(name, value)| format!("{name}={}", encode_query_value(value)));
        pairs.collect::<Vec<_>>().join("&")
    }

    /// [`Self::query`], but never empty: an empty filter gets its state.
    pub fn explicit_query(&self) -> String {
        let query = self.query();
        if query.is_empty() {
            format!("state={}", self.effective_state().as_str())
        } else {
            query
        }
    }

    /// Describes the list: "live sessions · in browsers · with the role Broker".
    pub fn describe(&self) -> String {
        let mut words = vec![
            match self.effective_state() {
                StateFilter::Live => "live sessions",
                StateFilter::Ended => "ended sessions",
                StateFilter::All => "live and ended sessions",
            }
            .to_owned(),
        ];
        if let Some(q) = &self.q {
            words.push(format!("matching “{q}”"));
        }
        if self.user.is_some() {
            words.push("of one user".to_owned());
        }
        if let Some(kind) = self.kind {
            words.push(match kind {
                ClientKind::Browser => "in browsers".to_owned(),
                ClientKind::Desktop => "on desktops".to_owned(),
            });
        }
        if let Some(role) = self.role {
            words.push(format!("with the role {}", role.label()));
        }
        if let Some(reason) = self.reason {
            words.push(format!("ended because: {}", reason.label()));
        }
        if let Some(age) = self.age {
            words.push(format!("begun {}", age.label().to_lowercase()));
        }
        if let Some(suspicion) = self.suspicion {
            words.push(suspicion.label().to_lowercase());
        }
        words.join(" · ")
    }
}

/// Parses the search text of a field. `None` if nothing is visible.
pub(super) fn parse_search_text(field: &'static str, text: &str) -> Result<Option<String>, InvalidFilter> {
    if is_blank(text) {
        return Ok(None);
    }
    parse_line(text, MAX_SEARCH).map_err(|problem| InvalidFilter {
        field,
        problem: format!(
            "The search text {problem}. Search for at most {MAX_SEARCH} characters in one line."
        ),
    })
}

pub(super) fn parse_choice<T>(
    field: &'static str,
    text: &str,
    read: impl Fn(&str) -> Option<T>,
    names: &str,
) -> Result<Option<T>, InvalidFilter> {
    if text.is_empty() {
        return Ok(None);
    }
    let problem = || format!("Give one of {names}.");
    read(text).map(Some).ok_or_else(|| InvalidFilter {
        field,
        problem: problem(),
    })
}

pub(super) fn join_names<'a>(each: impl Iterator<Item = &'a str>) -> String {
    each.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::query_param;

    fn read(query: &str) -> Result<SessionFilter, InvalidFilter> {
        SessionFilter::parse(|name| query_param(query, name))
    }

    #[test]
    fn empty_filter_lists_live_sessions() {
        let filter = read("q=&kind=&role=+").expect("a filter");
        assert_eq!(filter, SessionFilter::default());
        assert_eq!(
            (filter.query(), filter.effective_state()),
            (String::new(), StateFilter::Live)
        );
    }

    #[test]
    fn revocation_needs_a_condition_or_a_state() {
        let revocation = |query: &str| SessionFilter::parse_for_revocation(|name| query_param(query, name));
        for query in ["", "&"] {
            assert!(!revocation(query).expect(query).has_condition(), "{query}");
        }
        for query in [
            "q=kim",
            "kind=desktop",
            "state=live",
            "age=over_day",
            "q=kim&state=live",
        ] {
            assert!(revocation(query).expect(query).has_condition(), "{query}");
        }
        for (query, field) in [
            ("q=", "q"),
            ("q=+%09+", "q"),
            ("q=%E2%80%8B%C2%AD", "q"),
            ("q=%EF%BB%BF", "q"),
            ("q=%E2%A0%80", "q"),
            ("q=%E3%85%A4", "q"),
            ("kind=", "kind"),
            ("state=", "state"),
            ("state=live&q=", "q"),
        ] {
            assert_eq!(revocation(query).expect_err(query).field, field, "{query}");
        }
    }

    #[test]
    fn page_query_names_the_default_state() {
        let shown = SessionFilter::default().with_explicit_state();
        assert!(shown.has_condition());
        assert_eq!(shown.explicit_query(), "state=live");
    }

    #[test]
    fn filter_round_trips_through_the_url() {
        let query = "q=m%C3%BCller%20%26%20co&user=6b1ad9b3-54f4-4bd0-9b3a-1c8ad6f3b9b1&kind=desktop&role=vendor&state=all\
            &reason=revoked&age=over_week&suspicion=unanswered";
        let filter = read(query).expect("a filter");
        assert_eq!(filter.q.as_deref(), Some("müller & co"));
        assert_eq!(read(&filter.query()).as_ref(), Ok(&filter));
        let names: Vec<&str> = filter.pairs().iter().map(|(name, _)| *name).collect();
        assert_eq!(names, SessionFilter::FIELDS);
    }

    #[test]
    fn invalid_values_are_rejected_by_field_name() {
        for (query, field) in [
            ("kind=phone", "kind"),
            ("role=Broker", "role"),
            ("state=dead", "state"),
            ("reason=because", "reason"),
            ("age=old", "age"),
            ("suspicion=yes", "suspicion"),
            ("user=maria", "user"),
            ("q=a%0Ab", "q"),
            ("q=a%E2%80%AEb", "q"),
            ("q=a%E2%80%8B", "q"),
        ] {
            assert_eq!(read(query).expect_err(query).field, field);
        }
        assert_eq!(
            read(&format!("q={}", "a".repeat(121)))
                .expect_err("too long")
                .field,
            "q"
        );
        assert_eq!(
            SessionSort::parse(Some("size")).expect_err("no order").field,
            "sort"
        );
    }
}
