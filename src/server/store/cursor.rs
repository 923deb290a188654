//! The position where a page of an admin list ends and the next one starts.

use chrono::{DateTime, Datelike, Utc};
use data_encoding::BASE64URL_NOPAD;
use sqlx::{Postgres, QueryBuilder};
use uuid::Uuid;

use domain::session_filter::SessionSort;

/// The sort key and id of the last row of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    key: Key,
    id: Uuid,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Key {
    Time(DateTime<Utc>),
    Email(String),
}

/// Encodes the cursor for a URL.
impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let key = match &self.key {
            Key::Time(time) => format!("t{}", time.timestamp_micros()),
            Key::Email(email) => format!("e{email}"),
        };
        f.write_str(&BASE64URL_NOPAD.encode(format!("{}{key}", self.id.simple()).as_bytes()))
    }
}

impl Cursor {
    /// Decodes a cursor for this order. `None`: it is invalid or belongs to another order.
    pub fn read(text: &str, sort: SessionSort) -> Option<Self> {
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
        let text = String::from_utf8(bytes).ok()?;
        let (id, key) = text.split_at_checked(32)?;
        let key = match (sort, key.split_at_checked(1)?) {
            (SessionSort::User, ("e", email)) if !email.contains('\0') => Key::Email(email.to_owned()),
            (SessionSort::LastActive | SessionSort::CreatedAt, ("t", micros)) => {
                // Only years that the database supports.
                let time = DateTime::from_timestamp_micros(micros.parse().ok()?)?;
                Key::Time(Some(time).filter(|time| (1..=9999).contains(&time.year()))?)
            }
            _ => return None,
        };
        Some(Self {
            key,
            id: id.parse().ok()?,
        })
    }

    /// A cursor in a list by email ([`Sort::Person`]).
    pub(super) fn from_email(email_key: String, id: Uuid) -> Self {
        Self {
            key: Key::Email(email_key),
            id,
        }
    }

    /// Returns the email in lower case and the id of the last row.
    pub(super) fn email_key(&self) -> Option<(&str, Uuid)> {
        match &self.key {
            Key::Email(email) => Some((email, self.id)),
            Key::Time(_) => None,
        }
    }

    /// A cursor in a list by time.
    pub(super) fn from_time(time: DateTime<Utc>, id: Uuid) -> Self {
        Self {
            key: Key::Time(time),
            id,
        }
    }

    /// Binds the sort key of the last row and returns its id.
    pub(super) fn bind_key(&self, query: &mut QueryBuilder<Postgres>) -> Uuid {
        match &self.key {
            Key::Time(time) => query.push_bind(*time),
            Key::Email(email) => query.push_bind(email.clone()),
        };
        self.id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursor_round_trips_and_fits_only_its_order() {
        let time = Cursor::from_time(
            DateTime::from_timestamp_micros(1_763_000_000_123_456).expect("a time"),
            Uuid::new_v4(),
        );
        let email = Cursor::from_email("zoë@broker.example".to_owned(), Uuid::new_v4());
        for sort in [SessionSort::LastActive, SessionSort::CreatedAt] {
            assert_eq!(Cursor::read(&time.to_string(), sort), Some(time.clone()));
            assert_eq!(Cursor::read(&email.to_string(), sort), None);
        }
        assert_eq!(Cursor::read(&email.to_string(), SessionSort::User), Some(email));
        for text in ["", "x", "AAAA", "é", &time.to_string()[1..]] {
            assert_eq!(Cursor::read(text, SessionSort::LastActive), None, "{text}");
        }
    }
}
