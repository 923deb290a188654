//! Connects to the cluster.

use std::path::Path;
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};
use tokio::time::timeout;

use super::error::{ClusterError, one_line};
use super::log::PostgresLog;

/// The superuser of every private cluster.
pub(super) const SUPERUSER: &str = "portal";

/// The database that the portal creates in every private cluster.
const PORTAL_DATABASE: &str = "portal";

/// Postgres' default port. Postgres does not listen on the network; the port is only part of the socket's file name.
pub(super) const PORT: u16 = 5432;

/// The database that `initdb` creates.
const MAINTENANCE_DATABASE: &str = "postgres";

/// Timeout of one connection attempt.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Returns a URL for a database of the cluster whose socket is in `socket_dir`.
pub(super) fn build_url(socket_dir: &Path, database: &str) -> String {
    let socket_dir = socket_dir.to_string_lossy();
    let host = utf8_percent_encode(&socket_dir, NON_ALPHANUMERIC);
    let database = utf8_percent_encode(database, NON_ALPHANUMERIC);
    // `sslmode` is set explicitly, so that PGSSLMODE of the environment does not apply.
    format!("postgres://{SUPERUSER}@{host}:{PORT}/{database}?sslmode=disable")
}

/// Returns whether Postgres accepts connections.
pub(super) async fn is_ready(socket_dir: &Path) -> bool {
    match timeout(CONNECT_TIMEOUT, connect(socket_dir)).await {
        Ok(Ok(connection)) => {
            // Errors while closing do not matter.
            drop(timeout(CONNECT_TIMEOUT, connection.close()).await);
            true
        }
        Ok(Err(_)) | Err(_) => false,
    }
}

/// Creates the portal's database, unless it exists.
pub(super) async fn create_database(
    socket_dir: &Path,
    log: &PostgresLog,
    time_limit: Duration,
) -> Result<(), ClusterError> {
    let create = async {
        let mut connection = connect(socket_dir).await?;
        let exists: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
            .bind(PORTAL_DATABASE)
            .fetch_one(&mut connection)
            .await?;
        if !exists {
            let statement = format!("CREATE DATABASE {PORTAL_DATABASE}");
            sqlx::query(AssertSqlSafe(statement))
                .execute(&mut connection)
                .await?;
        }
        connection.close().await
    };
    let created = match timeout(time_limit, create).await {
        Ok(created) => created.map_err(|error: sqlx::Error| one_line(error.to_string().lines())),
        Err(_) => Err(format!("no response within {} seconds", time_limit.as_secs())),
    };
    created.map_err(|cause| ClusterError::CreateDatabase {
        database: PORTAL_DATABASE,
        cause,
        log: log.path().to_path_buf(),
    })
}

async fn connect(socket_dir: &Path) -> Result<PgConnection, sqlx::Error> {
    PgConnectOptions::new_without_pgpass()
        .socket(socket_dir)
        .port(PORT)
        .username(SUPERUSER)
        .database(MAINTENANCE_DATABASE)
        .ssl_mode(PgSslMode::Disable)
        .connect()
        .await
}

#[cfg(test)]
mod tests {
    use tokio::net::UnixListener;

    use super::super::tests::TempDir;
    use super::*;

    #[test]
    fn sqlx_parses_the_url() {
        let socket_dir = Path::new("/srv/my portal,\"ü\"%/socket");
        let options: PgConnectOptions = build_url(socket_dir, "por/tal?").parse().expect("a URL");
        assert_eq!(options.get_socket().map(|path| path.as_path()), Some(socket_dir));
        assert_eq!(options.get_port(), PORT);
        assert_eq!(options.get_username(), SUPERUSER);
        assert_eq!(options.get_database(), Some("por/tal?"));
    }

    #[tokio::test]
    async fn create_database_times_out() {
        let directory = TempDir::new();
        let log = PostgresLog::open(directory.path()).expect("open the log");
        let socket = directory.path().join(format!(".s.PGSQL.{PORT}"));
        // Accepts connections, but never responds.
        let _listener = UnixListener::bind(socket).expect("bind");
        let create = create_database(directory.path(), &log, Duration::from_millis(50));
        let created = timeout(Duration::from_secs(10), create).await.expect("a result");
        let error = created.expect_err("no response").to_string();
        assert!(error.contains("no response within"), "{error}");
    }
}
