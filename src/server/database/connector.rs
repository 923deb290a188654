//! Makes connections, directly to Postgres or through a pooler in session mode.
//!
//! Settings are sent in the startup message where possible, so that `RESET` restores them. PgBouncer refuses these
//! options or ignores them (`ignore_startup_parameters`); then only statements apply the settings.

use std::{str::FromStr as _, time::Duration};

use sqlx::{ConnectOptions as _, Connection as _, PgConnection, Row as _, postgres::PgConnectOptions};
use tokio::time::{Instant, sleep, timeout_at};

use super::{connect_error, error::DatabaseError, session_settings::SessionSettings};

/// How long startup waits for a database that is starting or does not respond.
const STARTUP_WAIT: Duration = Duration::from_secs(3);
const RETRY_DELAY: Duration = Duration::from_millis(200);

/// How often two connections through a pooler are compared. One comparison proves too little, since other clients may
/// change the order in which the pooler assigns connections.
const COMPARISONS: u32 = 5;

/// Lets the server close connections that the network has lost. On our side, deadlines do that. Not verified, because
/// Postgres shows 0 on a Unix socket.
const KEEPALIVE: [(&str, &str); 4] = [
    ("tcp_keepalives_idle", "30"),
    ("tcp_keepalives_interval", "10"),
    ("tcp_keepalives_count", "3"),
    ("tcp_user_timeout", "60s"),
];

/// Makes connections to one database.
#[derive(Clone, Debug)]
pub(super) struct Connector {
    /// Without our settings.
    options: PgConnectOptions,
    /// `Some`: startup options have no effect. Contains the options of `DATABASE_URL`.
    by_statement: Option<Vec<(String, String)>>,
}

impl Connector {
    /// Finds out how settings reach the database at `url`, and whether it is usable.
    ///
    /// # Errors
    /// [`DatabaseError`] if the URL is wrong, the database refuses the connection, or a pooler is in transaction mode.
    pub(super) async fn probe(url: &str) -> Result<Self, DatabaseError> {
        let options = parse(url)?;
        let settings = SessionSettings::for_requests();
        let with_settings = options.clone().options(settings.startup_options());
        let failed = |error| DatabaseError::Connect(connect_error::explain(&error, &options));
        let (mut conn, accepted) = match connect_with_retries(&with_settings).await {
            Ok(mut conn) => {
                let in_force = settings.are_in_force(&mut conn).await.map_err(failed)?;
                (conn, in_force)
            }
            Err(error) if is_unsupported_parameter(&error) => {
                let bare = without_startup_options(url)?;
                (connect_with_retries(&bare).await.map_err(failed)?, false)
            }
            Err(error) => return Err(failed(error)),
        };
        let connector = if accepted {
            Self {
                options: options.clone(),
                by_statement: None,
            }
        } else {
            let own = options.get_options().map(parse_startup_options);
            Self {
                options: without_startup_options(url)?,
                by_statement: Some(own.unwrap_or_default()),
            }
        };
        connector.refuse_transaction_pooling(&mut conn).await?;
        // The result of closing does not matter.
        drop(conn.close().await);
        connector
            .connect(&settings)
            .await
            .map_err(|error| match error {
                sqlx::Error::Configuration(problem) => DatabaseError::NotInForce(problem.to_string()),
                error => failed(error),
            })?
            .close()
            .await
            .map_err(failed)?;
        Ok(connector)
    }

    /// Returns the options for the pool. Each connection must then be [prepared](Self::prepare).
    pub(super) fn options(&self, settings: &SessionSettings) -> PgConnectOptions {
        let options = self.options.clone();
        if self.by_statement.is_some() {
            options
        } else {
            options.options(settings.startup_options()).options(KEEPALIVE)
        }
    }

    /// Applies the settings to a new connection.
    ///
    /// # Errors
    /// A database error, or the name of a setting that has no effect.
    pub(super) async fn prepare(
        &self,
        conn: &mut PgConnection,
        settings: &SessionSettings,
    ) -> sqlx::Result<()> {
        let others = self.by_statement.as_deref().unwrap_or_default();
        settings.enforce(conn, others).await
    }

    /// Opens one connection outside the pool with these settings. Its slow statements are not logged.
    ///
    /// # Errors
    /// As for [`Self::prepare`].
    pub(super) async fn connect(&self, settings: &SessionSettings) -> sqlx::Result<PgConnection> {
        let options = self.options(settings).disable_statement_logging();
        let mut conn = PgConnection::connect_with(&options).await?;
        self.prepare(&mut conn, settings).await?;
        Ok(conn)
    }

    /// Detects a pooler in transaction mode, which gives each statement any free connection: then two connections share
    /// a process, or one changes its process between statements.
    async fn refuse_transaction_pooling(&self, conn: &mut PgConnection) -> Result<(), DatabaseError> {
        // Without a second connection there is nothing to compare, which is no reason to refuse startup.
        let deadline = Instant::now() + STARTUP_WAIT;
        let Ok(Ok(mut second)) = timeout_at(deadline, PgConnection::connect_with(&self.options)).await else {
            tracing::debug!("no second connection, pool mode not verified");
            return Ok(());
        };
        let comparisons = if self.by_statement.is_some() {
            COMPARISONS
        } else {
            1
        };
        let compared = timeout_at(deadline, share_processes(conn, &mut second, comparisons)).await;
        drop(timeout_at(deadline, second.close()).await);
        match compared {
            Ok(Ok(true)) => Err(DatabaseError::TransactionPooling),
            Ok(Ok(false)) => Ok(()),
            Ok(Err(error)) => Err(DatabaseError::Connect(connect_error::explain(
                &error,
                &self.options,
            ))),
            Err(_) => {
                tracing::debug!("no response on a second connection, pool mode not verified");
                Ok(())
            }
        }
    }
}

async fn share_processes(
    one: &mut PgConnection,
    other: &mut PgConnection,
    comparisons: u32,
) -> sqlx::Result<bool> {
    let first = process_id(one).await?;
    for _ in 0..comparisons {
        if process_id(other).await? == first || process_id(one).await? != first {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Returns the process of this connection. Not prepared, because poolers in transaction mode may lose prepared
/// statements.
async fn process_id(conn: &mut PgConnection) -> sqlx::Result<i32> {
    let row = sqlx::raw_sql("SELECT pg_backend_pid()").fetch_one(conn).await?;
    row.try_get(0)
}

fn parse(url: &str) -> Result<PgConnectOptions, DatabaseError> {
    match PgConnectOptions::from_str(url) {
        Ok(options) => Ok(options.application_name("broker-portal")),
        Err(error) => {
            let problem = error.to_string();
            // The driver wraps the error once per layer.
            let problem = problem.replace("error with configuration: ", "");
            Err(DatabaseError::Address(problem))
        }
    }
}

/// Removes from the URL what PgBouncer refuses in a startup message by default.
fn without_startup_options(url: &str) -> Result<PgConnectOptions, DatabaseError> {
    let url = match url.split_once('?') {
        None => url.to_owned(),
        Some((address, query)) => {
            let rest: Vec<&str> = query
                .split('&')
                .filter(|parameter| !parameter.starts_with("options"))
                .collect();
            format!("{address}?{}", rest.join("&"))
        }
    };
    Ok(parse(&url)?.extra_float_digits(None))
}

/// Parses options such as `-c search_path=portal --geqo=off` like Postgres.
fn parse_startup_options(options: &str) -> Vec<(String, String)> {
    let mut words = vec![String::new()];
    let mut characters = options.chars();
    while let Some(character) = characters.next() {
        let is_space = character.is_ascii_whitespace();
        // A backslash escapes the next character.
        let character = if character == '\\' {
            characters.next()
        } else {
            Some(character)
        };
        match (is_space, character, words.last_mut()) {
            (true, _, _) => words.push(String::new()),
            (false, Some(character), Some(word)) => word.push(character),
            _ => {}
        }
    }
    words
        .iter()
        .filter_map(|word| {
            let setting = word.strip_prefix("-c").or_else(|| word.strip_prefix("--"));
            let (name, value) = setting.unwrap_or(word).split_once('=')?;
            Some((name.replace('-', "_"), value.to_owned()))
        })
        .collect()
}

/// Matches `unsupported startup parameter: options`, and since PgBouncer 1.20 `unsupported startup parameter in
/// options: lock_timeout`.
fn is_unsupported_parameter(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .is_some_and(|error| error.message().starts_with("unsupported startup parameter"))
}

async fn connect_with_retries(options: &PgConnectOptions) -> sqlx::Result<PgConnection> {
    let deadline = Instant::now() + STARTUP_WAIT;
    loop {
        match timeout_at(deadline, PgConnection::connect_with(options)).await {
            Ok(Err(error)) if is_temporary(&error) && Instant::now() + RETRY_DELAY < deadline => {
                sleep(RETRY_DELAY).await
            }
            Ok(connected) => return connected,
            Err(_) => return Err(sqlx::Error::PoolTimedOut),
        }
    }
}

/// Returns whether the database is starting, or an earlier connection of ours is still closing.
fn is_temporary(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(error) => error.kind() == std::io::ErrorKind::ConnectionRefused,
        sqlx::Error::Database(error) => error
            .code()
            .is_some_and(|code| ["53300", "57P03"].contains(&&*code)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn startup_options_are_parsed_as_postgres_does() {
        let parsed = parse_startup_options(r"-c search_path=portal,\ public  --work-mem=4MB -cgeqo=off -d 1");
        let expected = [
            ("search_path", "portal, public"),
            ("work_mem", "4MB"),
            ("geqo", "off"),
        ];
        assert_eq!(
            parsed,
            expected.map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
    }

    #[test]
    fn url_keeps_everything_but_startup_options() {
        let url = "postgres://portal@db/portal?options=-c%20geqo%3Doff&sslmode=disable&options[a]=b";
        let bare = without_startup_options(url).expect("an address");
        assert_eq!(bare.get_options(), None);
        assert!(matches!(bare.get_ssl_mode(), sqlx::postgres::PgSslMode::Disable));
    }
}
