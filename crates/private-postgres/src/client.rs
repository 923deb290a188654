//! Connects to the cluster.

use std::path::Path;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::time::timeout;

use super::error::{ClusterError, one_line};
use super::log::PostgresLog;

/// The superuser of every private cluster.
pub(super) const USER: &str = "portal";

/// The database made in every private cluster.
pub(super) const DATABASE: &str = "portal";

/// Postgres' usual port. It only names the socket's file, and each cluster has its own folder for that.
pub(super) const PORT: u16 = 5432;

/// The database every cluster has from the beginning.
const MAINTENANCE: &str = "postgres";

/// How long one attempt to connect may take. The socket is local, so only a Postgres that hangs needs longer.
const CONNECT: Duration = Duration::from_secs(5);

/// A URL for a database of the cluster whose socket is in `socket_dir`.
pub(super) fn url(socket_dir: &Path, database: &str) -> String {
    let host = percent_encoded(&socket_dir.to_string_lossy());
    let database = percent_encoded(database);
    // Stated, so that a PGSSLMODE in the environment that was meant for another server does not apply.
    format!("postgres://{USER}@{host}:{PORT}/{database}?sslmode=disable")
}

fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte))
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

/// Whether Postgres accepts connections.
pub(super) async fn is_ready(socket_dir: &Path) -> bool {
    match timeout(CONNECT, connect(socket_dir)).await {
        Ok(Ok(connection)) => {
            // The answer is known; how the connection ends does not matter.
            drop(timeout(CONNECT, connection.close()).await);
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
            .bind(DATABASE)
            .fetch_one(&mut connection)
            .await?;
        if !exists {
            sqlx::query("CREATE DATABASE portal")
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
        database: DATABASE,
        cause,
        log: log.path().to_path_buf(),
    })
}

async fn connect(socket_dir: &Path) -> Result<PgConnection, sqlx::Error> {
    PgConnectOptions::new_without_pgpass()
        .socket(socket_dir)
        .port(PORT)
        .username(USER)
        .database(MAINTENANCE)
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
    fn sqlx_understands_the_url() {
        let url = url(Path::new("/srv/my portal,\"ü\"%/socket"), "por/tal?");
        let options: PgConnectOptions = url.parse().expect("a URL");
        assert_eq!(
            options.get_socket().map(|path| path.as_path()),
            Some(Path::new("/srv/my portal,\"ü\"%/socket"))
        );
        assert_eq!(options.get_port(), PORT);
        assert_eq!(options.get_username(), USER);
        assert_eq!(options.get_database(), Some("por/tal?"));
    }

    #[tokio::test]
    async fn create_database_times_out() {
        let directory = TempDir::new("hung");
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
