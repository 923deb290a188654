//! Formats times for users and programs. No function reads a clock: "now" is a parameter.

use chrono::{DateTime, Datelike, NaiveDate, Utc};

/// Formats an age: "just now", "2 minutes ago", "yesterday", "3 weeks ago".
///
/// A time in the future reads as "just now", because a client's clock may be slow.
pub fn relative_time(then: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let seconds = (now - then).num_seconds();
    match seconds {
        ..60 => "just now".to_owned(),
        60..3600 => count(seconds / 60, "minute"),
        3600..86_400 => count(seconds / 3600, "hour"),
        86_400..172_800 => "yesterday".to_owned(),
        172_800..1_209_600 => count(seconds / 86_400, "day"),
        _ => count(seconds / 604_800, "week"),
    }
}

fn count(n: i64, unit: &str) -> String {
    format!("{} ago", pluralize(n, unit))
}

/// Formats a count: "1 minute", "5 minutes".
pub fn pluralize(n: i64, unit: &str) -> String {
    if n == 1 {
        format!("1 {unit}")
    } else {
        format!("{n} {unit}s")
    }
}

/// Formats a duration in its largest exact unit: "12 hours", "1 day", "90 minutes".
pub fn format_duration(seconds: i64) -> String {
    match seconds {
        s if s % 86_400 == 0 && s > 0 => pluralize(s / 86_400, "day"),
        s if s % 3600 == 0 && s > 0 => pluralize(s / 3600, "hour"),
        s if s >= 60 => pluralize(s / 60, "minute"),
        s => pluralize(s.max(0), "second"),
    }
}

/// Formats remaining time: "4:09", "1:00:00".
pub fn format_countdown(seconds: i64) -> String {
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match hours {
        0 => format!("{minutes}:{seconds:02}"),
        hours => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

/// Formats a time in UTC, where the user's time zone is unknown: "20 Nov 2026, 17:42 UTC".
pub fn format_utc(time: DateTime<Utc>) -> String {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    use chrono::Timelike;
    format!(
        "{} {} {}, {:02}:{:02} UTC",
        time.day(),
        MONTHS[time.month0() as usize],
        time.year(),
        time.hour(),
        time.minute()
    )
}

/// Formats a time for programs: RFC 3339 in UTC with milliseconds, `2026-11-20T17:42:03.120Z`.
pub fn format_rfc3339(time: DateTime<Utc>) -> String {
    use chrono::Timelike;
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
        time.year(),
        time.month(),
        time.day(),
        time.hour(),
        time.minute(),
        time.second(),
        time.timestamp_subsec_millis()
    )
}

/// Parses exactly the format of [`format_rfc3339`].
pub fn parse_rfc3339(text: &str) -> Option<DateTime<Utc>> {
    let number = |range: std::ops::Range<usize>| text.get(range)?.parse::<u32>().ok();
    let marks = [
        (4, b'-'),
        (7, b'-'),
        (10, b'T'),
        (13, b':'),
        (16, b':'),
        (19, b'.'),
        (23, b'Z'),
    ];
    let bytes = text.as_bytes();
    if bytes.len() != 24 || marks.iter().any(|(at, mark)| bytes[*at] != *mark) || text.contains('+') {
        return None;
    }
    let year = i32::try_from(number(0..4)?).ok()?;
    NaiveDate::from_ymd_opt(year, number(5..7)?, number(8..10)?)?
        .and_hms_milli_opt(number(11..13)?, number(14..16)?, number(17..19)?, number(20..23)?)
        .map(|time| time.and_utc())
}

/// [`format_rfc3339`] with microseconds if there are any, as in the audit log and in Postgres.
pub fn format_rfc3339_micros(time: DateTime<Utc>) -> String {
    let millis = format_rfc3339(time);
    match time.timestamp_subsec_micros() % 1000 {
        0 => millis,
        micros => format!("{}{micros:03}Z", millis.trim_end_matches('Z')),
    }
}

/// Parses a time from a user or program: every form of RFC 3339. A space may replace the `+` of the offset, because a
/// query string that is not percent-encoded turns `+` into a space. `None`: another format, or a year outside 1 to
/// 9999.
///
/// Server only: the code is too large for the browser module.
pub fn parse_time(text: &str) -> Option<DateTime<Utc>> {
    let plus = match text.rsplit_once(' ') {
        Some((time, offset)) if time.contains(':') => format!("{time}+{offset}"),
        _ => text.to_owned(),
    };
    let time = DateTime::parse_from_rfc3339(&plus).ok()?.with_timezone(&Utc);
    // A leap second becomes the first second of the next minute, as in Postgres.
    DateTime::from_timestamp_micros(time.timestamp_micros()).filter(|time| (1..=9999).contains(&time.year()))
}

/// Times in JSON for `#[serde(with)]`, in the format of [`format_rfc3339`]. Chrono's own parser is twenty times larger
/// in the browser module.
pub mod wire {
    use std::borrow::Cow;

    use chrono::{DateTime, Utc};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    /// Serializes with milliseconds; a finer part is dropped.
    ///
    /// # Errors
    /// Errors of the serializer.
    pub fn serialize<S: Serializer>(time: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&super::format_rfc3339(*time))
    }

    /// # Errors
    /// The text is not in the format of `serialize`.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<DateTime<Utc>, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        super::parse_rfc3339(&text).ok_or_else(|| D::Error::custom("a time"))
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("a time")
    }

    #[test]
    fn ago_changes_its_unit_at_the_right_second() {
        let now = at("2026-11-20T12:00:00Z");
        for (seconds, words) in [
            (-5, "just now"),
            (59, "just now"),
            (60, "1 minute ago"),
            (3599, "59 minutes ago"),
            (3600, "1 hour ago"),
            (86_399, "23 hours ago"),
            (86_400, "yesterday"),
            (172_800, "2 days ago"),
            (1_209_600, "2 weeks ago"),
        ] {
            assert_eq!(relative_time(now - TimeDelta::seconds(seconds), now), words);
        }
    }

    #[test]
    fn spans_use_the_largest_exact_unit() {
        assert_eq!(format_duration(43_200), "12 hours");
        assert_eq!(format_duration(86_400), "1 day");
        assert_eq!(format_duration(5400), "90 minutes");
        assert_eq!(format_duration(1), "1 second");
    }

    #[test]
    fn only_written_times_parse_and_they_round_trip() {
        for text in [
            "2026-11-20T17:42:03.120Z",
            "2024-02-29T00:00:00.000Z",
            "1970-01-01T23:59:59.999Z",
        ] {
            assert_eq!(parse_rfc3339(text).map(format_rfc3339).as_deref(), Some(text));
        }
        for text in [
            "",
            "2026-11-20",
            "2026-11-20T17:42:03Z",
            "2026-02-30T00:00:00.000Z",
            "2026-11-20T25:00:00.000Z",
            "2026-11-20 17:42:03.120Z",
            "+026-11-20T17:42:03.120Z",
            "é026-11-20T17:42:03.12Z",
        ] {
            assert_eq!(parse_rfc3339(text), None, "{text:?}");
        }
    }

    #[test]
    fn user_times_parse_in_every_rfc_3339_form() {
        for (text, exact) in [
            ("2026-11-20T17:42:03.123456Z", "2026-11-20T17:42:03.123456Z"),
            ("2026-11-20T17:42:03.120Z", "2026-11-20T17:42:03.120Z"),
            ("2026-11-20T17:42:03Z", "2026-11-20T17:42:03.000Z"),
            ("2026-11-20t17:42:03z", "2026-11-20T17:42:03.000Z"),
            ("2026-11-20T19:42:03+02:00", "2026-11-20T17:42:03.000Z"),
            ("2026-11-20T19:42:03 02:00", "2026-11-20T17:42:03.000Z"),
            ("2026-11-20T12:12:03.5-05:30", "2026-11-20T17:42:03.500Z"),
            ("2026-11-20T17:42:03.123456789Z", "2026-11-20T17:42:03.123456Z"),
            ("2026-12-31T23:59:60Z", "2027-01-01T00:00:00.000Z"),
        ] {
            assert_eq!(
                parse_time(text).map(format_rfc3339_micros).as_deref(),
                Some(exact),
                "{text}"
            );
        }
        for text in [
            "",
            "yesterday",
            "2026-11-20",
            "2026-11-20T17:42:03",
            "2026-11-20T17:42:03+2",
            "2026-02-30T00:00:00Z",
            "0000-01-01T00:00:00Z",
            "9999-12-31T23:59:59-01:00",
            "-0001-01-01T00:00:00Z",
            "+12026-11-20T17:42:03Z",
        ] {
            assert_eq!(parse_time(text), None, "{text:?}");
        }
    }

    #[test]
    fn exact_times_are_written_in_utc() {
        let time = at("2026-01-05T09:07:03.120Z");
        assert_eq!(format_utc(time), "5 Jan 2026, 09:07 UTC");
        assert_eq!(format_rfc3339(time), "2026-01-05T09:07:03.120Z");
    }
}
