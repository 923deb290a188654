//! The audit log in tests: sealing, verification and tampering.

use std::{
    process::{Command, Output},
    str::FromStr as _,
};

use broker_portal::server::services::{
    audit_chain::{self, ChainHead},
    audit_verification::{ChainProblem, VerificationReport, verify},
};
use sqlx::{AssertSqlSafe, Executor as _, PgPool, postgres::PgConnectOptions};

use super::Portal;

impl Portal {
    /// Seals waiting rows, as the running server does every second.
    pub async fn seal(&self) -> usize {
        audit_chain::seal_all(&self.state.database, &self.clock)
            .await
            .expect("sealed")
    }

    pub async fn verify_audit_log(&self, noted: Option<ChainHead>) -> VerificationReport {
        verify(&self.state.database, self.now(), noted)
            .await
            .expect("a verdict")
    }

    /// Returns the problems that verification finds.
    pub async fn audit_problems(&self) -> Vec<ChainProblem> {
        self.verify_audit_log(None).await.problems
    }

    /// Executes a statement as a superuser with the triggers disabled.
    pub async fn tamper(&self, statement: &str) {
        let mut tx = self.sql.begin().await.expect("a transaction");
        tx.execute("SET LOCAL session_replication_role = replica")
            .await
            .expect("a superuser");
        let done = tx
            .execute(AssertSqlSafe(statement.to_owned()))
            .await
            .expect(statement);
        assert!(done.rows_affected() > 0, "{statement} touched nothing");
        tx.commit().await.expect("commit");
    }

    /// Returns the id of the row that is sealed at a position.
    pub async fn row_at(&self, position: i64) -> i64 {
        sqlx::query_scalar("SELECT event_id FROM audit_chain WHERE position = $1")
            .bind(position)
            .fetch_one(&self.sql)
            .await
            .expect("an entry")
    }

    /// Opens further connections whose time zone is UTC, like the portal's.
    pub async fn utc_pool(&self) -> PgPool {
        let options = PgConnectOptions::from_str(self.database_url()).expect("an address");
        PgPool::connect_with(options.options([("timezone", "UTC")]))
            .await
            .expect("connected")
    }

    /// Prepares a `broker-portal` command for this database.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = broker_portal();
        command.env("DATABASE_URL", self.database_url()).args(arguments);
        command
    }

    /// Runs `broker-portal`. Returns success, standard output and standard error.
    pub async fn run(&self, arguments: &[&str]) -> (bool, String, String) {
        let mut command = self.command(arguments);
        let output = tokio::task::spawn_blocking(move || command.output())
            .await
            .expect("ran")
            .expect("broker-portal starts");
        read_output(&output)
    }
}

/// Prepares `broker-portal` without the settings of this shell.
pub fn broker_portal() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_broker-portal"));
    for (name, _) in std::env::vars() {
        if name.starts_with("PORTAL_") || name.starts_with("LEPTOS_") || name == "RUST_LOG" {
            command.env_remove(name);
        }
    }
    command.env_remove("DATABASE_URL");
    command
}

/// Returns success, standard output and standard error.
pub fn read_output(output: &Output) -> (bool, String, String) {
    (
        output.status.success(),
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}
