//! Fault tests: the real server as a process, on a Postgres that is stopped, filled up or disconnected. Each test
//! prints what was lost, which must be nothing.
//!
//! `harness` contains the test harness; each other file has one fault. `PORTAL_TEST_ROUNDS` sets how often the server
//! is killed.

#![expect(
    clippy::disallowed_types,
    reason = "tests look at the database with the driver's own connection"
)]
#![expect(
    clippy::expect_used,
    reason = "a test that finds something missing says what, and fails"
)]

mod harness;

mod clock_jumps;
mod exhausted_pool;
mod frozen_database;
mod full_disk;
mod killed_server;
mod memory_use;
mod migrations;
mod network;
mod older_server;
mod outage;
mod output;
mod password_flood;
mod password_input;
mod pooler;
mod public_url;
mod server_stop;
mod silent_connections;
mod standby;
