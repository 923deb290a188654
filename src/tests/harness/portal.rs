//! A portal: the real router over a database of its own, with a clock that only the test moves.

use std::{sync::Arc, time::Duration};

use axum::Router;
use broker_portal::server::{
    auth::{client::Network, current_session::CurrentSession, password::Passwords, token::PlainToken},
    buffers::{activity::Activity, minutes::Minutes},
    clock::Clock,
    config::Config,
    database::Database,
    lifecycle::heartbeat::Heartbeats,
    realtime::{hub::Hub, listener},
    serve::leptos_options,
    services::{
        accounts::Accounts,
        cleanup::{self, Report},
        rate_limit::RateLimits,
    },
    state::AppState,
    store::sessions::{self, Found},
    telemetry::{metrics::Metrics, traces::Traces},
};
use chrono::{DateTime, TimeDelta, Timelike, Utc};
use domain::session::ClientKind;
use sqlx::{PgPool, postgres::PgPoolOptions};

use super::{
    Client, Outage, Role,
    postgres::{TestDatabase, site},
    rendering,
    users::{TestUser, UserBuilder},
};

/// Memory in KiB and passes: the least that argon2 allows next to nothing for.
const CHEAPEST_HASH: (u32, u32) = (64, 1);

/// Cheap to clone; clones are the same portal.
#[derive(Clone)]
pub struct Portal(Arc<PortalParts>);

pub struct PortalParts {
    pub state: AppState,
    pub clock: Clock,
    /// The test's own connections, beside the portal's.
    pub sql: PgPool,
    router: Router,
    // Last: the pools above are let go before the database is dropped.
    database: TestDatabase,
}

impl std::ops::Deref for Portal {
    type Target = PortalParts;

    fn deref(&self) -> &PortalParts {
        &self.0
    }
}

impl Portal {
    /// A portal with the default settings.
    pub async fn start() -> Self {
        Self::with(&[]).await
    }

    /// A portal with settings as an operator writes them.
    pub async fn with(settings: &[(&str, &str)]) -> Self {
        Self::build(TestDatabase::create().await, settings, TimeDelta::zero()).await
    }

    /// A portal whose time is so far from what this machine's own clock says.
    pub async fn with_clock_offset(offset: TimeDelta) -> Self {
        Self::build(TestDatabase::create().await, &[], offset).await
    }

    /// A portal over the database of a cluster that the test has for itself.
    pub async fn on_cluster(url: &str) -> Self {
        let connection = Database::connect(url).await.expect("the test's database");
        connection.migrate().await.expect("migrated");
        Self::build(TestDatabase::of_own(url), &[], TimeDelta::zero()).await
    }

    async fn build(database: TestDatabase, settings: &[(&str, &str)], offset: TimeDelta) -> Self {
        super::install_log_subscriber();
        let connection = as_server(&database.url).await;
        let now = connection.time().await.expect("the database's time");
        let clock = Clock::standing(now.with_nanosecond(0).expect("a whole second") + offset);
        let state = state(connection, clock.clone(), settings).await;
        let sql = PgPoolOptions::new()
            .max_connections(4)
            .connect_lazy(&database.url)
            .expect("an address");
        Self(Arc::new(PortalParts {
            router: rendering::build(state.clone()).await,
            state,
            clock,
            sql,
            database,
        }))
    }

    /// A second server over the same database: another pool, other notes of activity, the same time.
    pub async fn second_node(&self) -> Node {
        self.node_with(self.clock.clone()).await
    }

    /// A second server whose clock is so far off, and stands still.
    pub async fn second_node_with_clock_offset(&self, offset: TimeDelta) -> Node {
        self.node_with(Clock::standing(self.now() + offset)).await
    }

    async fn node_with(&self, clock: Clock) -> Node {
        let (database, hub) = (as_server(&self.database.url).await, Hub::default());
        let state = AppState {
            metrics: Arc::new(Metrics::new(database.meters(), &hub.meters())),
            database,
            passwords: Passwords::new(CHEAPEST_HASH).expect("a cost"),
            rate_limits: RateLimits::default(),
            activity: Activity::default(),
            minutes: Minutes::default(),
            jobs: Heartbeats::default(),
            hub,
            clock,
            ..self.state.clone()
        };
        Node {
            router: rendering::build(state.clone()).await,
            state,
        }
    }

    /// What the server is after a restart with other settings.
    pub fn restarted_with(&self, settings: &[(&str, &str)]) -> AppState {
        AppState {
            config: Arc::new(config(settings)),
            ..self.state.clone()
        }
    }

    /// The person says that all of it was them.
    pub async fn confirm_notices(&self, client: &Client) {
        let notices = client.post("/api/list_security_notices").await.expect(200).json();
        for notice in notices.as_array().expect("notices") {
            let id = notice["id"].as_str().expect("an id");
            let call = client.post("/api/dismiss_security_notice");
            call.form(&[("notice_id", id)]).await.expect(200);
        }
    }

    /// Has this node hear of what happens, as the running server does, for as long as the value is held.
    pub async fn start_listener(&self) -> RunningListener {
        RunningListener::start(&self.state).await
    }

    pub fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// Moves the time on. What people did until now is written first, as the running server does every other second.
    pub async fn advance(&self, time: Duration) {
        self.write_activity().await;
        self.clock.advance(time);
    }

    pub async fn write_activity(&self) {
        self.state
            .activity
            .flush(&self.state.database)
            .await
            .expect("activity is written");
    }

    pub fn accounts(&self) -> Accounts {
        accounts(&self.state)
    }

    /// Cleans up, as the running server does every hour.
    pub async fn clean_up(&self) -> Report {
        let retention = cleanup::retention(self.state.config.retention);
        cleanup::run(&self.state.database, &self.clock, retention)
            .await
            .expect("cleaned up")
    }

    /// A person about to be registered: `portal.user("maria").role(Role::Broker).create()`.
    pub fn user(&self, name: &str) -> UserBuilder<'_> {
        UserBuilder::new(self, name)
    }

    /// A broker.
    pub async fn broker(&self, name: &str) -> TestUser {
        self.user(name).role(Role::Broker).create().await
    }

    /// The server itself, for a test that speaks to it over a socket.
    pub fn router(&self) -> Router {
        self.router.clone()
    }

    /// A program without a credential.
    pub fn anonymous(&self) -> Client {
        Client::program(self.clone(), self.router.clone())
    }

    /// A browser with JavaScript, not signed in.
    pub fn browser(&self, user_agent: &str) -> Client {
        Client::browser(self.clone(), self.router.clone(), user_agent)
    }

    /// A desktop app, not signed in.
    pub fn desktop(&self, device_id: &str) -> Client {
        Client::desktop(self.clone(), self.router.clone(), device_id)
    }

    /// Where the database is, for its owner.
    pub fn database_url(&self) -> &str {
        &self.database.url
    }

    /// How many statements `work` costs in this database, and what came of it.
    pub async fn statements_of<T>(&self, work: impl Future<Output = T>) -> (i64, T) {
        let before = self.database.statements().await;
        let result = work.await;
        (self.database.statements().await - before, result)
    }

    /// How many transactions of `work` took a number for the verification of their commit.
    pub async fn verified_transactions_of<T>(&self, work: impl Future<Output = T>) -> (i64, T) {
        let before = self.database.verified_transactions().await;
        let result = work.await;
        (self.database.verified_transactions().await - before, result)
    }

    /// The session of a browser, as a request knows it whose cookie has been looked up.
    pub async fn identified(&self, browser: &Client) -> CurrentSession {
        let cookie: PlainToken = browser.cookie().expect("a cookie").parse().expect("a token");
        let network = Network::of("192.0.2.1".parse().expect("an address"));
        let mut conn = self.state.database.connection().await.expect("a connection");
        let (kind, now) = (ClientKind::Browser, self.now());
        let found = sessions::find_by_credential(&mut conn, cookie.hash(), kind, network, now);
        let Ok(Some(Found::Live(session))) = found.await else {
            panic!("the session is live");
        };
        *session
    }

    /// Breaks the connections that listen for what happens.
    pub async fn disconnect_listeners(&self) {
        let cut = sqlx::query_scalar::<_, i64>(
            "SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity
            WHERE datname = current_database() AND query LIKE 'LISTEN %'",
        );
        let cut = cut.fetch_one(&self.sql).await.expect("terminated");
        assert!(cut > 0, "someone listened");
    }

    /// An event whose number is taken and which nobody else can see yet.
    pub async fn uncommitted_event(
        &self,
        person: &TestUser,
        session: super::SessionId,
        kind: &str,
    ) -> sqlx::Transaction<'static, sqlx::Postgres> {
        let mut tx = self.sql.begin().await.expect("a transaction");
        let insert = sqlx::query(
            "WITH event AS (INSERT INTO session_events (at, user_id, session_id, kind) VALUES (now(), $1, $2, $3))
            SELECT pg_notify('session_events', '')",
        );
        let insert = insert.bind(person.id.0).bind(session.0).bind(kind);
        insert.execute(&mut *tx).await.expect("an event");
        tx
    }

    /// Nobody reaches the database until the outage ends.
    pub async fn disconnect_database(&self) -> Outage {
        self.database.disconnect().await
    }
}

/// The database as a running server uses it, which is not its owner.
async fn as_server(url: &str) -> Database {
    let connection = Database::connect(url).await.expect("the test's database");
    connection.as_server().await.expect("the server's role")
}

/// A node's listener at work.
#[must_use]
pub struct RunningListener(tokio::task::JoinHandle<()>);

impl RunningListener {
    pub async fn start(state: &AppState) -> Self {
        let task = tokio::spawn(listener::run(
            state.clock.clone(),
            state.database.clone(),
            state.hub.clone(),
            state.jobs.clone(),
        ));
        while !state.hub.is_listening() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Self(task)
    }
}

impl Drop for RunningListener {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A further server.
pub struct Node {
    pub state: AppState,
    pub router: Router,
}

impl Node {
    pub async fn start_listener(&self) -> RunningListener {
        RunningListener::start(&self.state).await
    }
}

/// What `serve` builds, but for the clock and the cost of a password.
pub async fn state(database: Database, clock: Clock, settings: &[(&str, &str)]) -> AppState {
    let config = config(settings);
    let hub = Hub::default();
    let state = AppState {
        metrics: Arc::new(Metrics::new(database.meters(), &hub.meters())),
        traces: Traces::begin(config.traces.as_ref()).expect("settings"),
        leptos: leptos_options(&config),
        config: Arc::new(config),
        database,
        clock,
        passwords: Passwords::new(CHEAPEST_HASH).expect("a cost"),
        rate_limits: RateLimits::default(),
        activity: Activity::default(),
        minutes: Minutes::default(),
        jobs: Heartbeats::default(),
        hub,
    };
    accounts(&state)
        .apply_policy(&state.config.policy)
        .await
        .expect("the limits are written");
    state
}

fn config(settings: &[(&str, &str)]) -> Config {
    let site = site().to_string_lossy().into_owned();
    let defaults = [
        ("PORTAL_DEMO", "off"),
        ("LEPTOS_SITE_ROOT", &*site),
        // Tests fail to sign in more often than people do.
        ("PORTAL_SIGN_IN_ATTEMPTS", "1000"),
        ("PORTAL_SIGN_IN_ATTEMPTS_PER_ADDRESS", "1000"),
        ("PORTAL_ACTIONS_PER_ACCOUNT", "1000000"),
        ("PORTAL_ACTIONS_PER_ADDRESS", "1000000"),
    ];
    let read = |name: &str| {
        let found = settings.iter().chain(&defaults).find(|(known, _)| *known == name);
        found.map(|(_, value)| (*value).to_owned())
    };
    Config::read(&read, "").expect("settings")
}

fn accounts(state: &AppState) -> Accounts {
    Accounts {
        database: state.database.clone(),
        clock: state.clock.clone(),
        passwords: state.passwords.clone(),
    }
}
