//! The database is a standby or read-only: it is not used to authenticate. A promoted standby is not asked about
//! commits of another primary.

use std::{path::PathBuf, process::Command};

use crate::harness::*;

/// Makes new connections to the portal's database read-only, or resets this.
async fn set_read_only(postgres: &Postgres, value: &str) {
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!(
        "ALTER DATABASE portal SET default_transaction_read_only = {value}"
    )))
    .execute(&postgres.sql)
    .await
    .expect("ALTER DATABASE");
    sqlx::raw_sql("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = 'broker-portal'")
        .execute(&postgres.sql)
        .await
        .expect("terminated");
}

async fn database_check(server: &Server) -> (u16, String) {
    let ready = server.get("/readyz", &Credential::Nothing).await;
    let problem = ready.json()["checks"][0]["problem"].clone();
    (ready.status, problem.as_str().unwrap_or_default().to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn read_only_database_is_refused_by_name() {
    let postgres = Postgres::start("read-only").await;
    let people = TestAccounts::of(&postgres).await;
    let maria = people.broker("maria").await;
    people.close().await;
    let mut server = Server::start(&postgres, &[]).await;
    let session = server.desktop(&maria, "mac").await;

    // On a read-write connection itself, only new connections change.
    let mut resetting = postgres.sql.acquire().await.expect("a connection");
    set_read_only(&postgres, "on").await;
    wait_until("the database is refused", async || {
        let (status, problem) = database_check(&server).await;
        status == 503 && problem.contains("read-only")
    })
    .await;
    let response = server.get("/api/v1/session_state", &session.credential).await;
    assert!(response.is_valid_503(), "{response:?}");
    let health = Server::command(&postgres)
        .arg("health")
        .output()
        .await
        .expect("broker-portal starts");
    assert!(!health.status.success());
    let said =
        String::from_utf8_lossy(&health.stderr).into_owned() + &String::from_utf8_lossy(&health.stdout);
    assert!(said.contains("read-only"), "{said}");

    sqlx::raw_sql("ALTER DATABASE portal RESET default_transaction_read_only")
        .execute(&mut *resetting)
        .await
        .expect("ALTER DATABASE");
    wait_until("the session is accepted again", async || {
        server
            .get("/api/v1/session_state", &session.credential)
            .await
            .status
            == 200
    })
    .await;
    wait_until("the server is ready", async || {
        database_check(&server).await.0 == 200
    })
    .await;
    assert!(server.still_runs());
}

/// A hot standby of the cluster in its own directory, until it is dropped.
struct Standby {
    data: PathBuf,
    bin: PathBuf,
    account: String,
    url: String,
}

impl Standby {
    async fn start(postgres: &Postgres) -> Self {
        let setting = async |name: &str| -> String {
            sqlx::query_scalar("SELECT current_setting($1)")
                .bind(name)
                .fetch_one(&postgres.sql)
                .await
                .expect("a setting")
        };
        let primary = PathBuf::from(setting("data_directory").await);
        let sockets = setting("unix_socket_directories").await.replace('"', "");
        let options: sqlx::postgres::PgConnectOptions = postgres.url.parse().expect("an address");
        let command =
            std::fs::read_link(format!("/proc/{}/exe", postgres.postmaster().await)).expect("Postgres");
        let bin = command.parent().expect("a folder").to_path_buf();
        let uid = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(&primary).expect("its folder"));
        let data = primary.with_file_name("standby");
        std::fs::create_dir(&data).expect("a folder");
        std::os::unix::fs::chown(&data, Some(uid), None).expect("its owner");
        std::fs::set_permissions(&data, std::os::unix::fs::PermissionsExt::from_mode(0o700))
            .expect("its mode");
        let standby = Self {
            url: postgres.url.replace(&options.get_port().to_string(), "5499"),
            account: format!("#{uid}"),
            bin,
            data,
        };
        assert_ne!(standby.url, postgres.url);
        let user = options.get_username();
        standby.run(
            "pg_basebackup",
            &[
                "-h",
                &sockets,
                "-p",
                &options.get_port().to_string(),
                "-U",
                user,
                "-R",
                "-X",
                "stream",
                "-c",
                "fast",
                "-D",
            ],
        );
        let settings = format!("-p 5499 -k {sockets} -c listen_addresses=");
        standby.run(
            "pg_ctl",
            &["-w", "-o", &settings, "-l", "/dev/null", "start", "-D"],
        );
        standby
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let done = self.command(program, arguments).output().expect("setpriv");
        assert!(done.status.success(), "{program}: {done:?}");
    }

    /// Promotes it to primary, like a failover.
    fn promote(&self) {
        self.run("pg_ctl", &["-w", "promote", "-D"]);
    }

    /// Runs a program as the user of the primary.
    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new("setpriv");
        let id = self.account.trim_start_matches('#');
        command
            .args(["--reuid", id, "--clear-groups"])
            .arg(self.bin.join(program))
            .args(arguments)
            .arg(&self.data);
        command
    }
}

impl Drop for Standby {
    fn drop(&mut self) {
        drop(
            self.command("pg_ctl", &["-m", "immediate", "stop", "-D"])
                .output(),
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hot_standby_is_refused_by_name() {
    let postgres = Postgres::start("primary").await;
    let people = TestAccounts::of(&postgres).await;
    let maria = people.broker("maria").await;
    people.close().await;
    let standby = Standby::start(&postgres).await;
    // Direct the server to a standby, like a failover in the wrong direction: first the primary, then the standby.
    let proxy = Proxy::start(&postgres).await;
    let server = Server::start_through(&proxy, &postgres).await;
    let session = server.desktop(&maria, "mac").await;
    proxy.redirect_to(&standby.url);
    proxy.reset_established();
    wait_until("the standby is refused", async || {
        let (status, problem) = database_check(&server).await;
        status == 503 && problem.contains("standby")
    })
    .await;
    let response = server.get("/api/v1/session_state", &session.credential).await;
    assert!(response.is_valid_503(), "{response:?}");
    proxy.redirect_to(&postgres.url);
    wait_until("the session is accepted again", async || {
        server
            .get("/api/v1/session_state", &session.credential)
            .await
            .status
            == 200
    })
    .await;

    // No server starts on one.
    let mut command = Server::command(&postgres);
    command.env("DATABASE_URL", &standby.url).arg("health");
    let health = command.output().await.expect("broker-portal starts");
    assert!(!health.status.success());
    let said = String::from_utf8_lossy(&health.stderr).into_owned();
    assert!(said.contains("standby"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_commit_answer_before_failover_is_unknown() {
    let postgres = Postgres::start("failover").await;
    let people = TestAccounts::of(&postgres).await;
    let maria = people.broker("maria").await;
    people.close().await;
    let standby = Standby::start(&postgres).await;
    let proxy = Proxy::start(&postgres).await;
    let server = Server::start_through(&proxy, &postgres).await;
    let caller = server.desktop(&maria, "caller").await;
    let other = server.desktop(&maria, "other").await;
    // Part of a statement that only a revocation of one's own sessions prepares.
    proxy.on_commit_after("ended_by = $4, ended_by_session = $5", Fault::StallAnswer);
    let path = format!("/api/v1/sessions/{}", other.id);
    let revoking = server.send(Request::new("DELETE", &path, &caller.credential));
    let failing_over = async {
        wait_until("the commit was hit", async || proxy.pending_faults() == 0).await;
        proxy.redirect_to(&standby.url);
        standby.promote();
    };
    // Here the id belongs to the same transaction; it could be another's.
    let (response, ()) = tokio::join!(revoking, failing_over);
    assert_eq!(
        (response.status, &response.json()["code"]),
        (503, &"outcome_unknown".into()),
        "{response:?}"
    );
}
