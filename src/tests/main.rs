//! Integration tests: the real router on a real Postgres.
//!
//! `harness` contains the test harness; each other file has one subject. To add a test, find the file by its subject
//! and create a portal with `Portal::start().await`.

#![expect(
    clippy::disallowed_types,
    reason = "tests look at the database with the driver's own connection"
)]
#![expect(
    clippy::expect_used,
    reason = "a test that finds something missing says what, and fails"
)]

mod harness;

mod accounts;
mod addresses;
mod admin_audit;
mod admin_people;
mod admin_people_list;
mod admin_permissions;
mod admin_revocation;
mod admin_sessions;
mod alert_webhook;
mod alerts;
mod api;
mod api_guide;
mod audit;
mod audit_chain;
mod audit_commands;
mod audit_role;
mod caller_transactions;
mod cleanup;
mod client_failure;
mod clock_skew;
mod command_line;
mod cookies;
mod credentials;
mod database_connections;
mod denials;
mod documents;
mod events;
mod expiry;
mod extend;
mod flash;
mod headers;
mod health;
mod invalid_input;
mod layers;
mod lifetimes;
mod limits;
mod lost_responses;
mod maintenance;
mod metrics;
mod model;
mod openapi;
mod organizations;
mod origin;
mod outage;
mod pages;
mod panics;
mod password;
mod plain_text;
mod races;
mod rate_limits;
mod reauthentication;
mod refresh;
mod revoke;
mod rotation;
mod secrets;
mod security_notices;
mod seed;
mod session_store;
mod sessions;
mod sign_in;
mod startup;
mod statements;
mod statistics;
mod suspicion;
mod throttle;
mod traces;
