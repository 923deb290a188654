//! The commands of `broker-portal`. Each exits with 0, or with 1 and one clear line.

mod audit;
mod configuration;
mod maintenance;
mod password_input;
mod probe;
mod seed;
mod sessions;
mod user;
mod user_list;

use std::{io::Write as _, process::ExitCode};

use clap::{Parser, Subcommand};

use super::{
    auth::passwords::Passwords,
    config::{Config, ConfigError},
    health::Health,
    output::{print_line, report_line, stdout},
    serve::{self, OpenDatabase, StartError},
    services::{
        accounts::{AccountError, Accounts},
        audit_chain,
        audit_export::ExportError,
        audit_verification, demo,
        seed::SeedError,
    },
    telemetry,
};
use domain::plain_text;

/// A portal in which brokers see where they are signed in and sign out any session
#[derive(Parser)]
#[command(name = "broker-portal", version, about)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the portal
    Serve,
    /// Migrate the database schema
    Migrate,
    /// Create the demo accounts and their sessions
    Demo,
    /// Manage user accounts
    #[command(subcommand)]
    User(user::Command),
    /// List and revoke sessions without the web
    #[command(subcommand)]
    Sessions(sessions::Command),
    /// Verify or export the audit log
    #[command(subcommand)]
    Audit(audit::Command),
    /// Print the state of the database and maintenance advice
    Maintenance(maintenance::Maintenance),
    /// Check the database and its schema
    Health {
        /// Check that the server on this machine responds, instead of the database
        #[arg(long)]
        server: bool,
    },
    /// Fill an empty database with generated users and sessions for measurements
    #[command(hide = true)]
    Seed(seed::Seed),
    /// Print every setting with its source and value, without secrets
    Configuration,
}

/// Why a command failed. Display is the one line that is printed.
#[derive(Debug, thiserror::Error)]
enum CommandError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("RUST_LOG is invalid: {0}; expected directives such as info,broker_portal=debug")]
    RustLog(tracing_subscriber::filter::ParseError),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Account(#[from] AccountError),
    #[error(transparent)]
    Seed(#[from] SeedError),
    #[error("seed is refused: other machines can reach PORTAL_PUBLIC_URL {0}")]
    SeedInPublic(String),
    #[error(transparent)]
    Audit(#[from] ExportError),
    #[error("audit log verification failed: {0}")]
    AuditLog(String),
    #[error(
        "this database has no sealed audit log; if it belongs to the portal, run `broker-portal migrate`"
    )]
    NoAuditChain,
    #[error(
        "the schema is outdated, or the database does not belong to the portal; run `broker-portal migrate` to update it"
    )]
    NotMigrated,
    #[error("{0} of the steps failed; see above")]
    StepsFailed(usize),
    #[error("{0}")]
    Usage(String),
    #[error("cannot write the output: {0}; the changes of the command are kept")]
    Output(#[from] std::io::Error),
    #[error("cannot read standard input: {0}")]
    Input(std::io::Error),
    #[error("no portal is running on this data directory (PORTAL_DATA_DIR), and no DATABASE_URL is set")]
    NotRunning,
    #[error("no portal data in {}: set DATABASE_URL or PORTAL_DATA_DIR as for the server", .0.display())]
    NoData(std::path::PathBuf),
    #[error("not ready")]
    NotReady,
    #[error("the server at {address} does not respond: {source}")]
    NoAnswer {
        address: std::net::SocketAddr,
        source: std::io::Error,
    },
}

/// Reads the command line and runs the command.
pub fn run() -> ExitCode {
    let command = match CommandLine::try_parse() {
        Ok(line) => line.command,
        Err(instead) => return print_usage(&instead),
    };
    if let Err(problem) = telemetry::logging::start() {
        return print_error(&CommandError::RustLog(problem));
    }
    telemetry::panics::log_panics();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return print_error(&StartError::Io(error).into()),
    };
    match runtime.block_on(execute(command)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => print_error(&error),
    }
}

/// Prints the requested help, or what is wrong with the command line.
fn print_usage(instead: &clap::Error) -> ExitCode {
    match instead.print().and_then(|()| stdout().flush()) {
        Err(error) if !instead.use_stderr() => print_error(&CommandError::Output(error)),
        _ => ExitCode::from(u8::try_from(instead.exit_code()).unwrap_or(1)),
    }
}

/// Prints an error as one line, even if it contains line breaks.
fn print_error(error: &CommandError) -> ExitCode {
    report_line!("broker-portal: {}", plain_text::clean(&error.to_string()));
    ExitCode::FAILURE
}

async fn execute(command: Command) -> Result<(), CommandError> {
    let (config, resolved) = Config::resolve_from_environment()?;
    match command {
        Command::Configuration => configuration::run(&resolved),
        Command::Serve => Ok(serve::serve(config).await?),
        Command::Migrate => {
            let opened = OpenDatabase::open(&config).await?;
            seal_new_rows(&opened).await;
            opened.close().await?;
            print_line!("The schema is up to date.")?;
            Ok(())
        }
        Command::Demo => {
            if let Some(error) = config.demo_refusal() {
                return Err(error.into());
            }
            with_accounts(&config, async |accounts| {
                Ok(demo::create_accounts(accounts).await?)
            })
            .await?;
            print_line!("The demo accounts exist. Their password is {}.", demo::PASSWORD)?;
            Ok(())
        }
        Command::Seed(_) if !config.public_url.is_loopback() => {
            Err(CommandError::SeedInPublic(config.public_url.origin().to_owned()))
        }
        Command::Seed(seed) => {
            with_accounts(&config, async |accounts| {
                seed::run(&seed, accounts, &config).await
            })
            .await
        }
        // Without data, a response such as "No one is signed in." from a newly created database would be wrong.
        Command::Sessions(_) | Command::User(user::Command::List(_))
            if config.database_url.is_none() && !config.data_dir.exists() =>
        {
            Err(CommandError::NoData(config.data_dir.clone()))
        }
        Command::User(command) => {
            with_accounts(&config, async |accounts| user::run(&command, accounts).await).await
        }
        Command::Sessions(command) => {
            with_accounts(&config, async |accounts| {
                sessions::run(&command, accounts, &config).await
            })
            .await
        }
        Command::Audit(command) => {
            let opened = OpenDatabase::open_existing(&config)
                .await?
                .ok_or_else(|| CommandError::NoData(config.data_dir.clone()))?;
            let result = async {
                if !audit_verification::has_chain(&opened.database)
                    .await
                    .map_err(StartError::from)?
                {
                    return Err(CommandError::NoAuditChain);
                }
                audit::run(command, &opened.database).await
            }
            .await;
            let closed = opened.close().await.map_err(CommandError::from);
            result.and(closed)
        }
        Command::Maintenance(asked) => {
            let opened = OpenDatabase::open_existing(&config)
                .await?
                .ok_or_else(|| CommandError::NoData(config.data_dir.clone()))?
                .as_server()
                .await?;
            let result = maintenance::run(&asked, &opened.database, &config).await;
            let closed = opened.close().await.map_err(CommandError::from);
            result.and(closed)
        }
        Command::Health { server: true } => probe::check_server(&config).await,
        Command::Health { server: false } => {
            let opened = OpenDatabase::attach(&config)
                .await?
                .ok_or(CommandError::NotRunning)?;
            let health = Health::check_database(&opened.database, config.cleanup_interval).await;
            opened.close().await?;
            for check in &health.checks {
                print_line!("{check}")?;
            }
            if health.is_ready() {
                Ok(())
            } else {
                Err(CommandError::NotReady)
            }
        }
    }
}

/// Opens the database, runs `work`, and closes the database even if the work fails.
async fn with_accounts(
    config: &Config,
    work: impl AsyncFnOnce(&Accounts) -> Result<(), CommandError>,
) -> Result<(), CommandError> {
    let opened = OpenDatabase::open(config).await?;
    let result = async {
        let accounts = Accounts {
            database: opened.database.clone(),
            clock: opened.database.clock().await.map_err(StartError::from)?,
            passwords: Passwords::new(Passwords::COST).map_err(StartError::from)?,
        };
        work(&accounts).await
    }
    .await;
    seal_new_rows(&opened).await;
    let closed = opened.close().await.map_err(CommandError::from);
    result.and(closed)
}

/// Seals the audit rows of a command, since perhaps no server is running.
async fn seal_new_rows(opened: &OpenDatabase) {
    let sealed = async {
        let clock = opened.database.clock().await?;
        audit_chain::seal_all(&opened.database, &clock).await
    };
    if let Err(error) = sealed.await {
        tracing::warn!(%error, "audit rows not sealed, the server will seal them");
    }
}
