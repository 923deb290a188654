//! The URL of the database, validated as far as possible without connecting.

use std::{fmt, str::FromStr};

/// A connection URL. Debug hides it, since it may contain a password.
#[derive(Clone)]
pub struct DatabaseUrl(String);

impl DatabaseUrl {
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DatabaseUrl(..)")
    }
}

/// Why a URL is invalid. Display contains nothing of the URL but its scheme.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDatabaseUrl {
    #[error(
        "is empty: set an address such as postgres://portal@db.example/portal, or unset it to use the private cluster \
         below PORTAL_DATA_DIR"
    )]
    Empty,
    #[error("begins with quotation marks: a file of variables takes the value as it is, so remove them")]
    Quoted,
    #[error("has no scheme: expected an address such as postgres://portal@db.example/portal")]
    NoScheme,
    #[error("has the scheme {0}://: expected postgres://, as in postgres://portal@db.example/portal")]
    WrongScheme(String),
    #[error(
        "has characters with a meaning of their own in its user or password: they must be percent-encoded (@ is %40, \
         : is %3A, / is %2F, ? is %3F, # is %23, % is %25)"
    )]
    NotEncoded,
    #[error("has an IPv6 address without brackets: write postgres://portal@[::1]:5432/portal")]
    NoBrackets,
    #[error(
        "has a port that is no number from 1 to 65535. If this is part of a password: characters such as @ : / ? # % in \
         it must be percent-encoded, and @ stands before the host"
    )]
    BadPort,
}

impl FromStr for DatabaseUrl {
    type Err = InvalidDatabaseUrl;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        if text.is_empty() {
            return Err(InvalidDatabaseUrl::Empty);
        }
        if text.starts_with(['"', '\'']) {
            return Err(InvalidDatabaseUrl::Quoted);
        }
        let (scheme, rest) = text.split_once("://").ok_or(InvalidDatabaseUrl::NoScheme)?;
        let is_scheme = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
        if !scheme.chars().all(is_scheme) {
            return Err(InvalidDatabaseUrl::NoScheme);
        }
        if !["postgres", "postgresql"].contains(&scheme.to_ascii_lowercase().as_str()) {
            return Err(InvalidDatabaseUrl::WrongScheme(scheme.to_owned()));
        }
        let (authority, after) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if holds_user(after) {
            return Err(InvalidDatabaseUrl::NotEncoded);
        }
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let port = match host.strip_prefix('[') {
            Some(host) => host
                .split_once(']')
                .map_or("", |(_, port)| port)
                .strip_prefix(':'),
            None if host.matches(':').count() > 1 => return Err(InvalidDatabaseUrl::NoBrackets),
            None => host.split_once(':').map(|(_, port)| port),
        };
        if port.is_some_and(|port| !port.is_empty() && !port.parse::<u16>().is_ok_and(|port| port > 0)) {
            return Err(InvalidDatabaseUrl::BadPort);
        }
        Ok(Self(text.to_owned()))
    }
}

/// Returns whether what follows the host contains the end of user and password: a character of these has ended the host
/// too early. An `@` in a query value is allowed.
fn holds_user(after: &str) -> bool {
    let (before, fragment) = after.split_once('#').unwrap_or((after, ""));
    let (path, query) = before.split_once('?').unwrap_or((before, ""));
    let is_name = |parameter: &str| parameter.split('=').next().is_some_and(|name| name.contains('@'));
    path.contains('@') || fragment.contains('@') || query.split('&').any(is_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valid_urls_are_accepted() {
        for url in [
            "postgres://portal@db.example/portal",
            "postgresql://portal:se%40cret@[fe80::1]:5432/portal?sslmode=verify-full",
            "postgres://portal:p@ss@db/portal",
            "postgres://%2Fvar%2Frun%2Fpostgresql/portal",
            "postgres:///portal?host=/var/run/postgresql&user=portal@tenant",
            "POSTGRES://[::1]/portal",
            " postgres://db:/portal\n",
        ] {
            let read: Result<DatabaseUrl, _> = url.parse();
            assert!(read.is_ok(), "{url}: {read:?}");
        }
    }

    #[test]
    fn error_messages_hide_the_password() {
        for url in [
            "",
            "'postgres://u:hunter2@h/d'",
            "hunter2",
            "u:hunter2@h://d",
            "mysql://u:hunter2@h/d",
            "postgres://u:#hunter2@h/d",
            "postgres://u:/hunter2@h/d",
            "postgres://u:hunter2/d",
            "postgres://u:hunter2@h:hunter2/d",
            "postgres://u:hunter2@::1/d",
        ] {
            let problem = url.parse::<DatabaseUrl>().expect_err(url).to_string();
            assert!(!problem.contains("hunter2"), "{problem}");
        }
    }
}
