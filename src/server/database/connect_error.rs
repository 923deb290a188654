//! Explains a failed connection to operators in one line, without the password.

use std::io::ErrorKind;

use sqlx::postgres::PgConnectOptions;

/// Returns the target, the cause and what to do.
pub(super) fn explain(error: &sqlx::Error, options: &PgConnectOptions) -> String {
    let place = match options.get_socket() {
        Some(folder) => format!("{}/.s.PGSQL.{}", folder.display(), options.get_port()),
        None if options.get_host().contains(':') && !options.get_host().starts_with('[') => {
            format!("[{}]:{}", options.get_host(), options.get_port())
        }
        None => format!("{}:{}", options.get_host(), options.get_port()),
    };
    format!("cannot connect to {place}: {}", cause(error, options))
}

fn cause(error: &sqlx::Error, options: &PgConnectOptions) -> String {
    let user = options.get_username();
    match error {
        sqlx::Error::Io(error) => match error.kind() {
            ErrorKind::ConnectionRefused => "connection refused. Is Postgres running there?".to_owned(),
            ErrorKind::NotFound => "there is no such socket. Is Postgres running there?".to_owned(),
            _ if error.to_string().contains("lookup address") => {
                format!("the host name cannot be resolved ({error}). Is it spelt correctly?")
            }
            _ => error.to_string(),
        },
        sqlx::Error::Database(error) => {
            let (code, message) = (error.code(), error.message());
            match code.as_deref() {
                Some("28P01") => wrong_password(user),
                // PgBouncer has one code for all errors.
                Some("08P01") if message.contains("authentication failed") => wrong_password(user),
                Some("3D000") => format!("{message}. Create it, or correct the name"),
                Some("53300") => format!("{message}. Raise max_connections, or stop what holds them"),
                _ => message.to_owned(),
            }
        }
        sqlx::Error::Tls(error) => {
            format!("TLS failed: {error}. Check sslmode and sslrootcert in the address")
        }
        sqlx::Error::Protocol(problem) => format!("this is not Postgres ({problem})"),
        sqlx::Error::PoolTimedOut => {
            "no response. Is a firewall between, or a pooler without a free connection?".to_owned()
        }
        error => error.to_string(),
    }
}

fn wrong_password(user: &str) -> String {
    format!(
        "the password of user {user:?} was refused. In an address, characters such as @ : / ? # % in a password are \
         percent-encoded (@ is %40)"
    )
}
