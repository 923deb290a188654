//! Starts and stops the server.

mod open_database;
mod start_error;

pub use open_database::OpenDatabase;
pub use start_error::StartError;

use std::{sync::Arc, time::Duration};

use leptos::config::LeptosOptions;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use private_postgres::ServerLock;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    time::timeout,
};

use super::{
    auth::passwords::Passwords,
    buffers::{activity::Activity, minutes::Minutes},
    config::Config,
    connections::{self, Deadlines, Limits, Rules},
    jobs::{
        activity::WriteActivity, alerts, cleanup::CleanUp, clock::CorrectClock, health_check::CheckHealth,
        minutes::WriteMinutes, samples::SampleSessions, seal::SealAuditLog,
    },
    lifecycle::Jobs,
    node,
    output::print_line,
    rate_counts::RateCounts,
    realtime::{hub::Hub, listener::Listen},
    router::router,
    services::{accounts::Accounts, audit_chain, demo},
    state::AppState,
    telemetry::{metrics::Metrics, traces::Traces},
};

/// How long requests in progress may take after a stop signal.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(6);

/// How long the start waits for the listener.
const LISTENER_TIMEOUT: Duration = Duration::from_secs(3);

/// Timeout of each final write and of closing the pool: a database that hangs must not block the stop.
const FINAL_WRITE_TIMEOUT: Duration = Duration::from_secs(1);

/// Attempts to take over a private cluster that another process uses.
const OWNER_ATTEMPTS: u32 = 20;
const OWNER_RETRY_DELAY: Duration = Duration::from_millis(500);

/// Attempts to lock the data directory.
const LOCK_ATTEMPTS: u32 = 5;
const LOCK_RETRY_DELAY: Duration = Duration::from_millis(100);

/// Runs the portal until SIGTERM or Ctrl-C.
///
/// # Errors
/// [`StartError`] in one line.
pub async fn serve(config: Config) -> Result<(), StartError> {
    for warning in config.warnings() {
        tracing::warn!("{warning}");
    }
    if !config.site_root.join("pkg").is_dir() {
        return Err(StartError::NoSite(config.site_root));
    }
    // First, so that an address in use is reported before a cluster is started.
    let listener = TcpListener::bind(config.site_addr)
        .await
        .map_err(|source| StartError::Listen {
            address: config.site_addr,
            source,
        })?;
    let _lock = match config.database_url {
        Some(_) => None,
        None => Some(lock_data_dir(&config).await?),
    };
    let opened = open_as_owner(&config).await?;
    let served = run(listener, &opened, config).await;
    let closed = opened.close().await;
    served.and(closed)
}

/// Locks the data directory for this server. Waits for a server that is stopping.
async fn lock_data_dir(config: &Config) -> Result<ServerLock, StartError> {
    for _ in 0..LOCK_ATTEMPTS {
        if let Some(lock) = ServerLock::claim(&config.data_dir)? {
            return Ok(lock);
        }
        tokio::time::sleep(LOCK_RETRY_DELAY).await;
    }
    Err(StartError::DataDirInUse(config.data_dir.clone()))
}

/// Opens the database as the owner of the private cluster. A cluster that another process started stops with that process,
/// so this waits until that command is done.
async fn open_as_owner(config: &Config) -> Result<OpenDatabase, StartError> {
    for _ in 0..OWNER_ATTEMPTS {
        let opened = OpenDatabase::open(config).await?;
        if opened.is_owner() {
            return Ok(opened);
        }
        opened.close().await?;
        tokio::time::sleep(OWNER_RETRY_DELAY).await;
    }
    Err(StartError::DataDirInUse(config.data_dir.clone()))
}

async fn run(listener: TcpListener, opened: &OpenDatabase, config: Config) -> Result<(), StartError> {
    let database = opened.database.clone();
    let clock = database.clock().await?;
    let passwords = Passwords::new(Passwords::COST)?;
    let accounts = Accounts {
        database: database.clone(),
        clock: clock.clone(),
        passwords: passwords.clone(),
    };
    accounts.apply_policy(&config.policy).await?;
    if config.demo {
        demo::create_accounts(&accounts).await?;
    } else {
        demo::disable_accounts(&accounts).await?;
    }
    let activity = Activity::default();
    let minutes = Minutes::default();
    let node = node::name(config.site_addr);
    let traces = Traces::start(config.traces.as_ref())?;
    let rules = Rules {
        deadlines: Deadlines::default(),
        limits: Limits::for_files(raise_open_files()),
        trusted_proxies: config.trusted_proxies.clone(),
    };
    let hub = Hub::for_connections(rules.limits.total);
    let state = AppState {
        leptos: leptos_options(&config),
        config: Arc::new(config),
        database: database.clone(),
        clock: clock.clone(),
        passwords,
        rate_counts: RateCounts::default(),
        activity: activity.clone(),
        minutes: minutes.clone(),
        jobs: Jobs::default(),
        metrics: Arc::new(Metrics::new(database.metrics(), &hub.metrics())),
        hub,
        traces: traces.clone(),
    };
    let jobs = state.jobs.clone();
    start_jobs(&jobs, &state, &node);
    // Responds to requests without waiting for a database that refuses LISTEN: `/readyz` reports it.
    if timeout(LISTENER_TIMEOUT, state.hub.wait_until_listening())
        .await
        .is_err()
    {
        tracing::warn!("listener not connected yet");
    }
    // After the listener: the first metrics must not report a server that is still starting.
    jobs.start(CheckHealth { state: state.clone() });
    if let Err(error) = print_address(&state.config) {
        tracing::warn!(%error, "standard output not writable");
    }
    tracing::info!(address = %state.config.site_addr, "server ready");
    let (stop, stopped) = tokio::sync::watch::channel(());
    let hub = state.hub.clone();
    let server = connections::serve(listener, router(state), rules, async move {
        wait_for_stop_signal().await;
        tracing::info!("stopping, finishing requests in progress");
        hub.close();
        stop.send_replace(());
    });
    tokio::select! {
        () = server => {}
        () = wait_for_drain_timeout(stopped) => tracing::warn!("requests cut off, drain timeout exceeded"),
    }
    if timeout(FINAL_WRITE_TIMEOUT, jobs.stop()).await.is_err() {
        tracing::warn!("jobs not stopped in time");
    }
    // At the same time as the final writes.
    let last_spans = tokio::spawn(async move { traces.shut_down().await });
    match timeout(FINAL_WRITE_TIMEOUT, activity.flush(&database)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "final activity not written"),
        Err(_) => tracing::warn!("final activity not written, database does not respond"),
    }
    match timeout(FINAL_WRITE_TIMEOUT, minutes.flush(&database, &node)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "final statistics not written"),
        Err(_) => {
            tracing::warn!("final statistics not written, database does not respond")
        }
    }
    match timeout(FINAL_WRITE_TIMEOUT, audit_chain::seal_all(&database, &clock)).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => tracing::warn!(%error, "final audit rows not sealed"),
        Err(_) => tracing::warn!("final audit rows not sealed, database does not respond"),
    }
    if !matches!(last_spans.await, Ok(true)) {
        tracing::warn!("final traces not sent, collector does not respond");
    }
    Ok(())
}

/// Starts all jobs but the health check.
fn start_jobs(jobs: &Jobs, state: &AppState, node: &str) {
    let (clock, database) = (&state.clock, &state.database);
    jobs.start(WriteActivity {
        activity: state.activity.clone(),
        database: database.clone(),
    });
    jobs.start(WriteMinutes {
        minutes: state.minutes.clone(),
        database: database.clone(),
        node: node.to_owned(),
    });
    jobs.start(CorrectClock {
        clock: clock.clone(),
        database: database.clone(),
    });
    jobs.start(Listen::new(
        clock.clone(),
        database.clone(),
        state.hub.clone(),
        jobs.clone(),
    ));
    jobs.start(SealAuditLog {
        clock: clock.clone(),
        database: database.clone(),
    });
    jobs.start(CleanUp {
        clock: clock.clone(),
        database: database.clone(),
        config: state.config.clone(),
        metrics: state.metrics.clone(),
    });
    jobs.start(SampleSessions {
        clock: clock.clone(),
        database: database.clone(),
    });
    alerts::start(jobs, state, node.to_owned());
}

/// Raises the limit of open files to the maximum, since each stream needs one. Returns the limit.
fn raise_open_files() -> u64 {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return 1024;
    };
    if setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok() {
        hard
    } else {
        soft
    }
}

/// Returns when the drain timeout has passed after the stop signal.
async fn wait_for_drain_timeout(mut stopped: tokio::sync::watch::Receiver<()>) {
    if stopped.changed().await.is_ok() {
        tokio::time::sleep(DRAIN_TIMEOUT).await;
    } else {
        std::future::pending::<()>().await;
    }
}

async fn wait_for_stop_signal() {
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        tracing::error!("signal handlers not installed, stop the server with SIGKILL");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

/// The options for Leptos. The build writes the hashed base name of the files into `pkg/output-name`.
pub fn leptos_options(config: &Config) -> LeptosOptions {
    let name = std::fs::read_to_string(config.site_root.join("pkg/output-name"));
    let name = name.map_or_else(|_| "portal".to_owned(), |name| name.trim().to_owned());
    LeptosOptions::builder()
        .output_name(name)
        .site_root(config.site_root.to_string_lossy().into_owned())
        .site_addr(config.site_addr)
        .build()
}

/// Prints the address and the demo accounts for a user at a terminal.
fn print_address(config: &Config) -> std::io::Result<()> {
    print_line!("\n  Broker Portal is at {}\n", config.public_url.origin())?;
    if config.demo {
        print_line!("  Demo accounts, all with the password {}:", demo::PASSWORD)?;
        for (email, name, role) in demo::ACCOUNTS {
            print_line!("    {email:<24} {name} ({})", role.label().to_lowercase())?;
        }
        print_line!("")?;
    }
    Ok(())
}
