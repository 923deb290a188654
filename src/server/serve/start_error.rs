//! Why the server or a command could not start.

use std::{io::ErrorKind, net::SocketAddr, path::PathBuf};

use private_postgres::ClusterError;

use crate::server::{
    auth::password::PasswordError, database::DatabaseError, services::accounts::AccountError,
};

/// Why the server or a command could not start. Displayed as one line.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error(transparent)]
    Database(#[from] DatabaseError),
    #[error("DATABASE_URL: {0}")]
    DatabaseUrl(DatabaseError),
    #[error("the database does not respond: {0}")]
    Query(#[from] sqlx::Error),
    #[error(transparent)]
    Account(#[from] AccountError),
    #[error(transparent)]
    Password(#[from] PasswordError),
    #[error("cannot listen on LEPTOS_SITE_ADDR={address}: {}", listen_problem(source))]
    Listen {
        address: SocketAddr,
        source: std::io::Error,
    },
    #[error("there is no site in {}: build it, or say where it is with LEPTOS_SITE_ROOT", .0.display())]
    NoSite(PathBuf),
    #[error(
        "PORTAL_DATA_DIR={} is in use by another broker-portal; stop it, or choose another folder",
        .0.display()
    )]
    DataDirInUse(PathBuf),
    #[error("traces cannot be sent: {0}")]
    Traces(#[from] opentelemetry_otlp::ExporterBuildError),
    #[error("the server stopped: {0}")]
    Io(#[from] std::io::Error),
}

fn listen_problem(error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::AddrInUse => {
            "it is in use. Is another portal running? Stop it, or choose another address".to_owned()
        }
        ErrorKind::PermissionDenied => {
            "not permitted. Ports below 1024 need root or CAP_NET_BIND_SERVICE; choose a higher one"
                .to_owned()
        }
        ErrorKind::AddrNotAvailable => {
            "this machine has no such address. Use 0.0.0.0 or [::] for all addresses".to_owned()
        }
        _ => error.to_string(),
    }
}
