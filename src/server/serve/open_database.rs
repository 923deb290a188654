//! Opens the database for the server and for commands, with the private cluster if `DATABASE_URL` is unset.

use private_postgres::{Cluster, ClusterOptions, has_cluster};
use tokio::time::timeout;

use super::{FINAL_WRITE_TIMEOUT, StartError};
use crate::server::{config::Config, database::Database};

/// An open database, with its private cluster if there is one.
pub struct OpenDatabase {
    pub database: Database,
    cluster: Option<Cluster>,
}

impl OpenDatabase {
    /// Connects, applies migrations and switches to the server role. Starts the private cluster if `DATABASE_URL` is unset.
    ///
    /// # Errors
    /// [`StartError`] in one line.
    pub async fn open(config: &Config) -> Result<Self, StartError> {
        let opened = Self::connect(config).await?;
        opened.database.migrate().await?;
        opened.as_server().await
    }

    /// Switches to the server role.
    ///
    /// # Errors
    /// [`StartError`] in one line.
    pub async fn as_server(self) -> Result<Self, StartError> {
        let database = self.database.as_server().await?;
        Ok(Self { database, ..self })
    }

    /// Connects without creating or changing anything. Starts the private cluster if `DATABASE_URL` is unset. `None`: there
    /// is no private cluster.
    ///
    /// # Errors
    /// [`StartError`] in one line.
    pub async fn open_existing(config: &Config) -> Result<Option<Self>, StartError> {
        if config.database_url.is_none() && !has_cluster(&config.data_dir)? {
            return Ok(None);
        }
        Self::connect(config).await.map(Some)
    }

    async fn connect(config: &Config) -> Result<Self, StartError> {
        let (url, cluster) = match &config.database_url {
            Some(url) => (url.reveal().to_owned(), None),
            None => {
                let options = ClusterOptions {
                    data_dir: config.data_dir.clone(),
                    settings: Vec::new(),
                };
                let cluster = Cluster::start(options).await?;
                (cluster.url("portal"), Some(cluster))
            }
        };
        Ok(Self {
            database: connect(config, &url).await?,
            cluster,
        })
    }

    /// Connects to a running database and starts nothing. `None`: no private cluster is running.
    ///
    /// # Errors
    /// [`StartError`] in one line.
    pub async fn attach(config: &Config) -> Result<Option<Self>, StartError> {
        let (url, cluster) = match &config.database_url {
            Some(url) => (url.reveal().to_owned(), None),
            None => match Cluster::attach(&config.data_dir).await? {
                Some(cluster) => (cluster.url("portal"), Some(cluster)),
                None => return Ok(None),
            },
        };
        Ok(Some(Self {
            database: connect(config, &url).await?,
            cluster,
        }))
    }

    /// Whether this process started the private cluster, or there is none.
    pub fn is_owner(&self) -> bool {
        self.cluster.as_ref().is_none_or(Cluster::is_owner)
    }

    /// Closes the pool. Stops the cluster if this process started it.
    ///
    /// # Errors
    /// The cluster cannot be stopped.
    pub async fn close(self) -> Result<(), StartError> {
        if timeout(FINAL_WRITE_TIMEOUT, self.database.close()).await.is_err() {
            tracing::warn!("connections not closed, database does not respond");
        }
        if let Some(cluster) = self.cluster {
            cluster.stop().await?;
        }
        Ok(())
    }
}

/// Connects. An error names the setting, if the URL comes from one.
async fn connect(config: &Config, url: &str) -> Result<Database, StartError> {
    let connected = Database::connect(url).await;
    connected.map_err(|error| match &config.database_url {
        Some(_) => StartError::DatabaseUrl(error),
        None => StartError::Database(error),
    })
}
