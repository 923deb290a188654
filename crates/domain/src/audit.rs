//! Kinds of audit events, and the filter for the audit log.

use std::net::IpAddr;

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime, Utc};

use super::{
    filter::{Filter, InvalidFilter, parse_choice, parse_text, set_fields, text},
    named_values::named_values,
    query::QueryFields,
    time::{format_rfc3339_micros, parse_time},
};

named_values! {
    /// The kind of an audit event. The names are public: the API, URLs and exports contain them.
    pub enum AuditKind {
        SignedIn = "signed_in", "Signed in";
        SignInFailed = "sign_in_failed", "Sign-in refused";
        /// Too many attempts for an account, an address or a device. Recorded once per window. The password was not
        /// checked.
        SignInThrottled = "sign_in_throttled", "Too many sign-in attempts";
        SessionEnded = "session_ended", "Session ended";
        /// An administrator revoked all sessions of a filter. Each session has its own event as well.
        SessionsEndedByFilter = "sessions_ended_by_filter", "Sessions ended by filter";
        Reauthenticated = "reauthenticated", "Password confirmed";
        ReauthenticationFailed = "reauthentication_failed", "Password confirmation failed";
        /// A signed-in caller was refused an action.
        Denied = "denied", "Refused";
        /// A refresh token was used after its exchange.
        TokenReused = "token_reused", "Refresh token reused";
        /// A suspicion rule raised a security notice.
        SuspicionRaised = "suspicion_raised", "Unusual activity";
        /// The user confirmed the activity.
        SuspicionDismissed = "suspicion_dismissed", "Unusual activity confirmed";
        UserCreated = "user_created", "Account created";
        MembershipSet = "membership_set", "Membership added";
        RoleChanged = "role_changed", "Role changed";
        /// The user selected another organization for the session.
        OrganizationSwitched = "organization_switched", "Organization switched";
        UserDisabled = "user_disabled", "Account disabled";
        UserEnabled = "user_enabled", "Account enabled";
        /// An operator set a new password.
        PasswordSet = "password_set", "Password set by an operator";
        /// The user changed the password.
        PasswordChanged = "password_changed", "Password changed";
        /// An administrator requires a new password at the next sign-in.
        PasswordChangeRequired = "password_change_required", "New password required";
        PolicyChanged = "policy_changed", "Limits of a role changed";
        /// An administrator downloaded the list of sessions.
        SessionsExported = "sessions_exported", "Sessions exported";
        /// An administrator downloaded the audit log.
        AuditExported = "audit_exported", "Audit log exported";
        /// An administrator sent a test alert to the webhook.
        AlertTestSent = "alert_test_sent", "Test alert sent";
    }
}

/// Selects rows of the audit log. Empty: every row that the administrator may see. The page, the API and the exports
/// use it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "server", derive(utoipa::IntoParams))]
#[cfg_attr(feature = "server", into_params(parameter_in = Query))]
pub struct AuditFilter {
    /// The affected user: part of a name or email, or an id.
    pub person: Option<String>,
    /// The actor: part of a name or email, or an id.
    pub actor: Option<String>,
    /// The kind of event, for example `session_ended`.
    #[cfg_attr(feature = "server", param(value_type = Option<String>))]
    pub kind: Option<AuditKind>,
    /// Events since this day (UTC) or time (RFC 3339).
    #[cfg_attr(feature = "server", param(value_type = Option<String>))]
    pub since: Option<DateTime<Utc>>,
    /// Events before this time, or until the end of this day. Not earlier than `since`.
    #[cfg_attr(feature = "server", param(value_type = Option<String>))]
    pub until: Option<DateTime<Utc>>,
    /// An IP address or a network.
    pub address: Option<String>,
}

impl Filter for AuditFilter {
    const FIELDS: &'static [&'static str] = &["person", "actor", "kind", "since", "until", "address"];

    fn parse(fields: &QueryFields) -> Result<Self, InvalidFilter> {
        let (since, until) = parse_range(fields)?;
        let address = parse_text(fields, "address")?;
        if address
            .as_deref()
            .is_some_and(|address| !is_address_or_network(address))
        {
            return Err(InvalidFilter::new(
                "address",
                "Give an IP address or a network, such as 203.0.113.0/24.",
            ));
        }
        Ok(Self {
            person: parse_text(fields, "person")?,
            actor: parse_text(fields, "actor")?,
            kind: parse_choice(fields, "kind")?,
            since,
            until,
            address,
        })
    }

    fn to_pairs(&self) -> Vec<(&'static str, String)> {
        set_fields([
            ("person", text(&self.person)),
            ("actor", text(&self.actor)),
            ("kind", text(&self.kind)),
            ("since", self.since.map(format_rfc3339_micros)),
            ("until", self.until.map(format_rfc3339_micros)),
            ("address", text(&self.address)),
        ])
    }
}

fn is_address_or_network(text: &str) -> bool {
    let (host, mask) = text
        .split_once('/')
        .map_or((text, None), |(host, mask)| (host, Some(mask)));
    let max_prefix_length = match host.parse() {
        Ok(IpAddr::V4(_)) => 32,
        Ok(IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    mask.is_none_or(|mask| mask.parse::<u8>().is_ok_and(|mask| mask <= max_prefix_length))
}

/// The times `since` and `until`.
type TimeRange = (Option<DateTime<Utc>>, Option<DateTime<Utc>>);

/// Parses `since` and `until`, and rejects an empty range.
fn parse_range(fields: &QueryFields) -> Result<TimeRange, InvalidFilter> {
    let (since, until) = (
        parse_time_field(fields, "since")?,
        parse_time_field(fields, "until")?,
    );
    // `until` is exclusive: a day becomes the start of the next day.
    let until_is_day = parse_text(fields, "until")?.is_some_and(|text| parse_day(&text).is_some());
    let is_reversed = |(since, until)| since > until || (since == until && until_is_day);
    if since.zip(until).is_some_and(is_reversed) {
        return Err(InvalidFilter::new(
            "since",
            "“since” is later than “until”. Give an earlier time.",
        ));
    }
    Ok((since, until))
}

/// Parses `since` or `until`.
fn parse_time_field(
    fields: &QueryFields,
    field: &'static str,
) -> Result<Option<DateTime<Utc>>, InvalidFilter> {
    let Some(text) = parse_text(fields, field)? else {
        return Ok(None);
    };
    parse_filter_time(field, &text).map(Some).ok_or_else(|| {
        InvalidFilter::new(
            field,
            "Give a day, such as 2026-11-20 (UTC), or a time, such as 2026-11-20T17:42:03Z or \
             2026-11-20T19:42:03+02:00.",
        )
    })
}

/// Result of the last verification of the audit chain.
#[derive(Clone, Debug)]
pub struct AuditChainStatus {
    /// When the whole chain was last verified without a problem. `None`: never, or not visible to this administrator.
    pub verified_at: Option<DateTime<Utc>>,
    /// The problem that verification found.
    pub problem: Option<String>,
    /// When the first row was sealed.
    pub sealed_since: Option<DateTime<Utc>>,
    /// Rows that are not sealed yet.
    pub unsealed_rows: i64,
}

/// Parses the value of `since` or `until`: an RFC 3339 time, or a day or local time in UTC. A day as the end of a range
/// means the start of the next day.
pub fn parse_filter_time(field: &str, text: &str) -> Option<DateTime<Utc>> {
    parse_time(text).or_else(|| parse_day_or_time_in_utc(text, field == "until"))
}

fn parse_day(text: &str) -> Option<NaiveDate> {
    NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()
}

fn parse_day_or_time_in_utc(text: &str, is_end: bool) -> Option<DateTime<Utc>> {
    let has_four_digits = |time: &DateTime<Utc>| (1..=9999).contains(&time.year());
    if let Some(day) = parse_day(text) {
        let day = if is_end { day.succ_opt()? } else { day };
        return Some(day.and_time(NaiveTime::MIN).and_utc()).filter(has_four_digits);
    }
    // The format of a `datetime-local` form field.
    ["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S%.f"]
        .iter()
        .find_map(|format| NaiveDateTime::parse_from_str(text, format).ok())
        .and_then(|time| DateTime::from_timestamp_micros(time.and_utc().timestamp_micros()))
        .filter(has_four_digits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::{self, QueryFields};

    fn fields(query: &str) -> QueryFields {
        query::parse_query(query, AuditFilter::FIELDS, &[]).expect(query)
    }

    fn parse_query(query: &str) -> Result<AuditFilter, InvalidFilter> {
        AuditFilter::parse(&fields(query))
    }

    #[test]
    fn filter_round_trips_through_the_url() {
        let filter = parse_query(
            "person=maria&actor=bo&kind=session_ended&since=2026-11-20&until=2026-11-20&address=10.0.0.0/8",
        )
        .expect("a filter");
        assert_eq!(
            filter.until.map(format_rfc3339_micros).as_deref(),
            Some("2026-11-21T00:00:00.000Z"),
            "the end includes its day"
        );
        assert_eq!(parse_query(&filter.to_query_string()).as_ref(), Ok(&filter));
        let names: Vec<&str> = filter.to_pairs().iter().map(|(name, _)| *name).collect();
        assert_eq!(names, AuditFilter::FIELDS);
        assert_eq!(parse_query("person=+&kind="), Ok(AuditFilter::default()));
    }

    #[test]
    fn every_time_format_parses_exactly() {
        for (text, exact) in [
            ("2026-11-20T17:42:03.123456Z", "2026-11-20T17:42:03.123456Z"),
            ("2026-11-20T19:42:03%2B02:00", "2026-11-20T17:42:03.000Z"),
            ("2026-11-20T19:42:03+02:00", "2026-11-20T17:42:03.000Z"),
            ("2026-11-20", "2026-11-20T00:00:00.000Z"),
            ("2026-11-20T17:42", "2026-11-20T17:42:00.000Z"),
            ("2026-11-20T17:42:03", "2026-11-20T17:42:03.000Z"),
            ("2026-11-20T17:42:03.12", "2026-11-20T17:42:03.120Z"),
        ] {
            let filter = parse_query(&format!("since={text}")).expect(text);
            assert_eq!(
                filter.since.map(format_rfc3339_micros).as_deref(),
                Some(exact),
                "{text}"
            );
            assert_eq!(
                parse_query(&filter.to_query_string()).as_ref(),
                Ok(&filter),
                "{text}"
            );
        }
    }

    #[test]
    fn start_after_end_is_rejected() {
        let error = parse_query("since=2026-11-21&until=2026-11-20T23:59:59Z").expect_err("reversed");
        assert_eq!(error.field, "since");
        assert!(error.problem.contains("until"), "{error}");
        assert!(parse_query("since=2026-11-21&until=2026-11-20").is_err());
        for query in [
            "since=2026-11-20&until=2026-11-20",
            "since=2026-11-20T17:42&until=2026-11-20",
            "since=2026-11-20T17:42&until=2026-11-20T17:42:00Z",
        ] {
            assert!(parse_query(query).is_ok(), "{query}");
        }
    }

    #[test]
    fn invalid_values_are_rejected_by_field_name() {
        for (query, field) in [
            ("kind=ended", "kind"),
            ("since=yesterday", "since"),
            ("until=2026-13-01", "until"),
            ("since=-262143-01-01", "since"),
            ("address=home", "address"),
            ("address=10.0.0.0/33", "address"),
            ("person=a%0Ab", "person"),
        ] {
            assert_eq!(parse_query(query).expect_err(query).field, field);
        }
    }
}
