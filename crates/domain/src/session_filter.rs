//! The filter of the list of sessions. The list, its count, its export and bulk revocation share it, so that they
//! cannot differ.

use chrono::TimeDelta;

use super::{
    filter::{Filter, InvalidFilter, parse_choice, parse_text, set_fields, text},
    ids::UserId,
    named_values::named_values,
    plain_text::is_blank,
    query::QueryFields,
    session::{ClientKind, EndReason},
    user::Role,
};

/// Selects sessions. Empty: every live session that the administrator may see. Revocation rejects an empty filter; see
/// [`SessionFilter::has_condition`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "server", derive(utoipa::IntoParams))]
#[cfg_attr(feature = "server", into_params(parameter_in = Query))]
pub struct SessionFilter {
    /// Part of a user's name or email, or of a desktop app's name; an IP address or network; or a session id.
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
    // A revocation of all live sessions requires an explicit `Some(Live)`.
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

named_values! {
    /// Whether sessions are live.
    #[derive(Default)]
    pub enum StateFilter {
        #[default]
        Live = "live", "Live";
        Ended = "ended", "Ended";
        All = "all", "Live and ended";
    }
}

named_values! {
    /// The time since a session was created.
    pub enum SessionAge {
        WithinHour = "within_hour", "In the last hour";
        WithinDay = "within_day", "In the last day";
        WithinWeek = "within_week", "In the last week";
        OverDay = "over_day", "More than a day ago";
        OverWeek = "over_week", "More than a week ago";
    }
}

/// A range of session ages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AgeRange {
    Within(TimeDelta),
    Over(TimeDelta),
}

impl SessionAge {
    /// The range of ages.
    pub fn range(self) -> AgeRange {
        match self {
            SessionAge::WithinHour => AgeRange::Within(TimeDelta::hours(1)),
            SessionAge::WithinDay => AgeRange::Within(TimeDelta::days(1)),
            SessionAge::WithinWeek => AgeRange::Within(TimeDelta::weeks(1)),
            SessionAge::OverDay => AgeRange::Over(TimeDelta::days(1)),
            SessionAge::OverWeek => AgeRange::Over(TimeDelta::weeks(1)),
        }
    }
}

named_values! {
    /// Whether a session has a security notice, and whether the user answered it.
    pub enum SuspicionFilter {
        Raised = "raised", "Unusual activity";
        Unanswered = "unanswered", "Unusual activity, unanswered";
        None = "none", "No unusual activity";
    }
}

named_values! {
    /// The order of the list. Sessions with equal keys are ordered by id.
    #[derive(Default)]
    pub enum SessionSort {
        #[default]
        LastActive = "last_active", "Last active";
        CreatedAt = "began", "Signed in";
        User = "person", "Person";
    }
}

impl SessionSort {
    /// Parses `sort`, the name of an order.
    ///
    /// # Errors
    /// [`InvalidFilter`] for an unknown name.
    pub fn parse(fields: &QueryFields) -> Result<Self, InvalidFilter> {
        parse_choice(fields, "sort").map(Option::unwrap_or_default)
    }
}

impl Filter for SessionFilter {
    const FIELDS: &'static [&'static str] =
        &["q", "user", "kind", "role", "state", "reason", "age", "suspicion"];

    fn parse(fields: &QueryFields) -> Result<Self, InvalidFilter> {
        let user = fields
            .get("user")
            .map(|text| text.trim())
            .filter(|text| !text.is_empty());
        let user = user.map(str::parse).transpose();
        Ok(Self {
            q: parse_text(fields, "q")?,
            user: user.map_err(|_| InvalidFilter::new("user", "Give the id of a user."))?,
            kind: parse_choice(fields, "kind")?,
            role: parse_choice(fields, "role")?,
            state: parse_choice(fields, "state")?,
            reason: parse_choice(fields, "reason")?,
            age: parse_choice(fields, "age")?,
            suspicion: parse_choice(fields, "suspicion")?,
        })
    }

    fn to_pairs(&self) -> Vec<(&'static str, String)> {
        let state = self.state.filter(|state| *state != StateFilter::default());
        set_fields([
            ("q", text(&self.q)),
            ("user", text(&self.user)),
            ("kind", text(&self.kind)),
            ("role", text(&self.role)),
            ("state", text(&state)),
            ("reason", text(&self.reason)),
            ("age", text(&self.age)),
            ("suspicion", text(&self.suspicion)),
        ])
    }
}

impl SessionFilter {
    /// Parses a filter for a revocation. A field without a value is rejected: a script with an empty variable must not
    /// revoke more than intended.
    ///
    /// # Errors
    /// As [`Self::parse`], and [`InvalidFilter`] for the first field without a value.
    pub fn parse_for_revocation(fields: &QueryFields) -> Result<Self, InvalidFilter> {
        let is_blank = |field: &&&str| fields.get(**field).is_some_and(|text| is_blank(text));
        if let Some(&field) = Self::FIELDS.iter().find(is_blank) {
            let problem =
                format!("“{field}” has no value. No session was ended. Give a value, or remove the field.");
            return Err(InvalidFilter { field, problem });
        }
        Self::parse(fields)
    }

    /// Returns whether the filter has at least one field, including the state.
    pub fn has_condition(&self) -> bool {
        *self != Self::default()
    }

    /// The state of the selected sessions.
    pub fn effective_state(&self) -> StateFilter {
        self.state.unwrap_or_default()
    }

    /// Returns whether only live sessions are selected. Only such a filter can be revoked.
    pub fn is_live_only(&self) -> bool {
        self.effective_state() == StateFilter::Live && self.reason.is_none()
    }

    /// Returns the filter with an explicit state. For a page that has listed the selected sessions: revocation then
    /// accepts an otherwise empty filter.
    pub fn with_explicit_state(&self) -> Self {
        Self {
            state: Some(self.effective_state()),
            ..self.clone()
        }
    }

    /// [`Filter::to_query_string`], but never empty: an empty filter gets its state.
    pub fn explicit_query(&self) -> String {
        let query = self.to_query_string();
        if query.is_empty() {
            format!("state={}", self.effective_state().as_str())
        } else {
            query
        }
    }

    /// Returns a description of the list for its caption: "live sessions · in browsers · with the role Broker".
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
                ClientKind::Desktop => "in desktop apps".to_owned(),
            });
        }
        if let Some(role) = self.role {
            words.push(format!("with the role {}", role.label()));
        }
        if let Some(reason) = self.reason {
            words.push(format!("end reason: {}", reason.label()));
        }
        if let Some(age) = self.age {
            words.push(format!("signed in {}", age.label().to_lowercase()));
        }
        if let Some(suspicion) = self.suspicion {
            words.push(suspicion.label().to_lowercase());
        }
        words.join(" · ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::{self, QueryFields};

    fn fields(query: &str) -> QueryFields {
        query::parse_query(query, SessionFilter::FIELDS, &[]).expect(query)
    }

    fn parse_query(query: &str) -> Result<SessionFilter, InvalidFilter> {
        SessionFilter::parse(&fields(query))
    }

    fn parse_for_revocation(query: &str) -> Result<SessionFilter, InvalidFilter> {
        SessionFilter::parse_for_revocation(&fields(query))
    }

    #[test]
    fn empty_filter_lists_live_sessions() {
        let filter = parse_query("q=&kind=&role=+").expect("a filter");
        assert_eq!(filter, SessionFilter::default());
        assert_eq!(
            (filter.to_query_string(), filter.effective_state()),
            (String::new(), StateFilter::Live)
        );
    }

    #[test]
    fn revocation_filter_with_a_state_has_a_condition() {
        for query in ["", "&"] {
            assert!(
                !parse_for_revocation(query).expect(query).has_condition(),
                "{query}"
            );
        }
        for query in [
            "q=kim",
            "kind=desktop",
            "state=live",
            "age=over_day",
            "q=kim&state=live",
        ] {
            assert!(
                parse_for_revocation(query).expect(query).has_condition(),
                "{query}"
            );
        }
    }

    #[test]
    fn revocation_filter_rejects_fields_without_value() {
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
            assert_eq!(
                parse_for_revocation(query).expect_err(query).field,
                field,
                "{query}"
            );
        }
    }

    #[test]
    fn page_query_names_the_default_state() {
        let filter = SessionFilter::default().with_explicit_state();
        assert!(filter.has_condition());
        assert_eq!(filter.explicit_query(), "state=live");
    }

    #[test]
    fn filter_round_trips_through_the_url() {
        let query = "q=m%C3%BCller%20%26%20co&user=6b1ad9b3-54f4-4bd0-9b3a-1c8ad6f3b9b1&kind=desktop&role=vendor&state=all\
            &reason=revoked&age=over_week&suspicion=unanswered";
        let filter = parse_query(query).expect("a filter");
        assert_eq!(filter.q.as_deref(), Some("müller & co"));
        assert_eq!(parse_query(&filter.to_query_string()).as_ref(), Ok(&filter));
        let names: Vec<&str> = filter.to_pairs().iter().map(|(name, _)| *name).collect();
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
            assert_eq!(parse_query(query).expect_err(query).field, field);
        }
        assert_eq!(
            parse_query(&format!("q={}", "a".repeat(121)))
                .expect_err("too long")
                .field,
            "q"
        );
        assert_eq!(
            SessionSort::parse(&query::parse_query("sort=size", &["sort"], &[]).expect("fields"))
                .expect_err("no order")
                .field,
            "sort"
        );
    }
}
