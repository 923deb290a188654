//! A portal: the real router with its own database, and a clock that only the test moves.

use std::{sync::Arc, time::Duration};

use axum::Router;
use broker_portal::server::{
    auth::{client::Network, current_session::CurrentSession, passwords::Passwords, token::PlainToken},
    buffers::{activity::Activity, minutes::Minutes},
    clock::Clock,
    config::Config,
    database::Database,
    lifecycle::Jobs,
    rate_counts::RateCounts,
    realtime::{hub::Hub, listener::Listen},
    serve::leptos_options,
    services::{
        accounts::Accounts,
        cleanup::{self, CleanupReport},
    },
    state::AppState,
    store::sessions::{self, FoundSession},
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

/// Memory in KiB and passes: the cheapest hash that argon2 allows.
const CHEAPEST_HASH: (u32, u32) = (64, 1);

/// A portal. Cheap to clone; clones are the same portal.
#[derive(Clone)]
pub struct Portal(Arc<PortalParts>);

pub struct PortalParts {
    pub state: AppState,
    pub clock: Clock,
    /// The test's own connections, beside the portal's.
    pub sql: PgPool,
    router: Router,
    // Last, so that the pools above close before the database is dropped.
    database: TestDatabase,
}

impl std::ops::Deref for Portal {
    type Target = PortalParts;

    fn deref(&self) -> &PortalParts {
        &self.0
    }
}

impl Portal {
    /// Starts a portal with default settings.
    pub async fn start() -> Self {
        Self::with(&[]).await
    }

    /// Starts a portal with these settings.
    pub async fn with(settings: &[(&str, &str)]) -> Self {
        Self::build(TestDatabase::create().await, settings, TimeDelta::zero()).await
    }

    /// Starts a portal with a broker who is signed in with Chrome.
    pub async fn with_browser() -> (Self, TestUser, Client) {
        let portal = Self::start().await;
        let maria = portal.broker("maria").await;
        let chrome = portal.browser(super::CHROME).signed_in(&maria).await;
        (portal, maria, chrome)
    }

    /// Starts a portal with a broker who is signed in with Chrome and a desktop app.
    pub async fn with_devices() -> (Self, TestUser, Client, Client) {
        let (portal, maria, chrome) = Self::with_browser().await;
        let mac = portal.desktop("mac").signed_in(&maria).await;
        (portal, maria, chrome, mac)
    }

    /// Starts a portal whose clock differs from this machine's by `offset`.
    pub async fn with_clock_offset(offset: TimeDelta) -> Self {
        Self::build(TestDatabase::create().await, &[], offset).await
    }

    /// Starts a portal on the database of a cluster that belongs to the test.
    pub async fn on_cluster(url: &str) -> Self {
        let connection = Database::connect(url).await.expect("the test's database");
        connection.migrate().await.expect("migrated");
        Self::build(TestDatabase::of_own(url), &[], TimeDelta::zero()).await
    }

    async fn build(database: TestDatabase, settings: &[(&str, &str)], offset: TimeDelta) -> Self {
        super::install_log_subscriber();
        let connection = as_server(&database.url).await;
        let now = connection.time().await.expect("the database's time");
        let clock = Clock::manual(now.with_nanosecond(0).expect("a whole second") + offset);
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

    /// Starts a second server on the same database, with its own pool and unwritten activity, and the same time.
    pub async fn second_node(&self) -> Node {
        self.node_with(self.clock.clone()).await
    }

    /// Starts a second server with a fixed clock that is off by `offset`.
    pub async fn second_node_with_clock_offset(&self, offset: TimeDelta) -> Node {
        self.node_with(Clock::manual(self.now() + offset)).await
    }

    async fn node_with(&self, clock: Clock) -> Node {
        let (database, hub) = (as_server(&self.database.url).await, Hub::default());
        let state = AppState {
            metrics: Arc::new(Metrics::new(database.metrics(), &hub.metrics())),
            database,
            passwords: Passwords::new(CHEAPEST_HASH).expect("a cost"),
            rate_counts: RateCounts::default(),
            activity: Activity::default(),
            minutes: Minutes::default(),
            jobs: Jobs::default(),
            hub,
            clock,
            ..self.state.clone()
        };
        Node {
            router: rendering::build(state.clone()).await,
            state,
        }
    }

    /// Returns the state of the server after a restart with other settings.
    pub fn restarted_with(&self, settings: &[(&str, &str)]) -> AppState {
        AppState {
            config: Arc::new(config(settings)),
            ..self.state.clone()
        }
    }

    /// Confirms all security notices of the client's user.
    pub async fn confirm_notices(&self, client: &Client) {
        let notices = client.post("/api/list_security_notices").await.expect(200).json();
        for notice in notices.as_array().expect("notices") {
            let id = notice["id"].as_str().expect("an id");
            let call = client.post("/api/dismiss_security_notice");
            call.form(&[("notice_id", id)]).await.expect(200);
        }
    }

    /// Starts this node's listener, which runs until the value is dropped.
    pub async fn start_listener(&self) -> RunningListener {
        RunningListener::start(&self.state).await
    }

    pub fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// Advances the clock. First writes pending activity, as the running server does every two seconds.
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

    /// Runs the clean-up, as the running server does every hour.
    pub async fn clean_up(&self) -> CleanupReport {
        let retention = cleanup::retention(self.state.config.retention);
        cleanup::run_cleanup(&self.state.database, &self.clock, retention)
            .await
            .expect("cleaned up")
    }

    /// Builds a user: `portal.user("maria").role(Role::Broker).create()`.
    pub fn user(&self, name: &str) -> UserBuilder<'_> {
        UserBuilder::new(self, name)
    }

    /// Creates a broker.
    pub async fn broker(&self, name: &str) -> TestUser {
        self.user(name).role(Role::Broker).create().await
    }

    /// Creates a broker in an organization.
    pub async fn member(&self, name: &str, organization: &str) -> TestUser {
        self.user(name).member_of(organization).create().await
    }

    /// Creates a member of an organization with this role.
    pub async fn member_as(&self, name: &str, role: Role, organization: &str) -> TestUser {
        let user = self.user(name).role(role);
        user.member_of(organization).create().await
    }

    /// Creates a broker in an organization, who is shown with this name.
    pub async fn named_member(&self, name: &str, display_name: &str, organization: &str) -> TestUser {
        let user = self.user(name).display_name(display_name);
        user.member_of(organization).create().await
    }

    /// Creates an administrator of an organization.
    pub async fn admin(&self, name: &str, organization: &str) -> TestUser {
        self.member_as(name, Role::Admin, organization).await
    }

    pub async fn system_admin(&self, name: &str) -> TestUser {
        self.user(name).role(Role::SystemAdmin).create().await
    }

    /// Returns the router, for tests that use a socket.
    pub fn router(&self) -> Router {
        self.router.clone()
    }

    /// Returns a program without a credential.
    pub fn anonymous(&self) -> Client {
        Client::program(self.clone(), self.router.clone())
    }

    /// Returns a browser with JavaScript that is not signed in.
    pub fn browser(&self, user_agent: &str) -> Client {
        Client::browser(self.clone(), self.router.clone(), user_agent)
    }

    /// Signs in with a new browser and asserts the status.
    pub async fn assert_sign_in(&self, email: &str, password: &str, status: u16) {
        let response = self.browser(super::CHROME).try_sign_in(email, password).await;
        response.expect(status);
    }

    /// Returns a desktop app that is not signed in.
    pub fn desktop(&self, device_id: &str) -> Client {
        Client::desktop(self.clone(), self.router.clone(), device_id)
    }

    /// Returns the URL of the database for its owner.
    pub fn database_url(&self) -> &str {
        &self.database.url
    }

    /// Counts the statements that `work` executes in this database, and returns its result.
    pub async fn statements_of<T>(&self, work: impl Future<Output = T>) -> (i64, T) {
        let before = self.database.statements().await;
        let result = work.await;
        (self.database.statements().await - before, result)
    }

    /// Counts the transactions of `work` that took an id to verify their commit, and returns its result.
    pub async fn verified_transactions_of<T>(&self, work: impl Future<Output = T>) -> (i64, T) {
        let before = self.database.verified_transactions().await;
        let result = work.await;
        (self.database.verified_transactions().await - before, result)
    }

    /// Returns the session of a browser as a request identifies it.
    pub async fn identified(&self, browser: &Client) -> CurrentSession {
        let cookie: PlainToken = browser.cookie().expect("a cookie").parse().expect("a token");
        let network = Network::of("192.0.2.1".parse().expect("an address"));
        let mut conn = self.state.database.connection().await.expect("a connection");
        let (kind, now) = (ClientKind::Browser, self.now());
        let found = sessions::find_by_credential(&mut conn, cookie.hash(), kind, network, now);
        let Ok(Some(FoundSession::Live(session))) = found.await else {
            panic!("the session is live");
        };
        *session
    }

    /// Closes the connections of listeners.
    pub async fn disconnect_listeners(&self) {
        let cut = sqlx::query_scalar::<_, i64>(
            "SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity
            WHERE datname = current_database() AND query LIKE 'LISTEN %'",
        );
        let cut = cut.fetch_one(&self.sql).await.expect("terminated");
        assert!(cut > 0, "someone listened");
    }

    /// Inserts an event that is not committed, so that its number is taken but invisible.
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

    /// Refuses all connections to the database until the outage ends.
    pub async fn disconnect_database(&self) -> Outage {
        self.database.disconnect().await
    }
}

/// Connects to the database as a running server does, without the owner's rights.
async fn as_server(url: &str) -> Database {
    let connection = Database::connect(url).await.expect("the test's database");
    connection.as_server().await.expect("the server's role")
}

/// A running listener of a node.
#[must_use]
pub struct RunningListener(Jobs);

impl RunningListener {
    pub async fn start(state: &AppState) -> Self {
        let jobs = Jobs::default();
        jobs.start(Listen::new(
            state.clock.clone(),
            state.database.clone(),
            state.hub.clone(),
            jobs.clone(),
        ));
        while !state.hub.is_listening() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Self(jobs)
    }
}

impl Drop for RunningListener {
    fn drop(&mut self) {
        self.0.cancel();
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

/// Builds the state like `serve`, except for the clock and the cost of passwords.
pub async fn state(database: Database, clock: Clock, settings: &[(&str, &str)]) -> AppState {
    let config = config(settings);
    let hub = Hub::default();
    let state = AppState {
        metrics: Arc::new(Metrics::new(database.metrics(), &hub.metrics())),
        traces: Traces::start(config.traces.as_ref()).expect("settings"),
        leptos: leptos_options(&config),
        config: Arc::new(config),
        database,
        clock,
        passwords: Passwords::new(CHEAPEST_HASH).expect("a cost"),
        rate_counts: RateCounts::default(),
        activity: Activity::default(),
        minutes: Minutes::default(),
        jobs: Jobs::default(),
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
        // Tests fail to sign in more often than users do.
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
