//! The server. Compiled only with the feature `ssr`; `lib.rs` has the one gate.
//!
//! A request passes `router` and the middleware in `http`, and reaches a page, a server function or an `api` handler.
//! These call `services`, which own transactions and call `store`. No module depends on a module above it.

pub mod admin;
pub mod api;
pub mod auth;
pub mod buffers;
pub mod clock;
pub mod command_line;
pub mod config;
mod connections;
pub mod database;
pub mod health;
pub mod http;
pub mod jobs;
pub mod lifecycle;
pub mod node;
pub mod output;
pub mod rate_counts;
pub mod realtime;
pub mod router;
pub mod serve;
pub mod services;
pub mod shell;
pub mod state;
pub mod store;
pub mod telemetry;
