//! The server's half. Compiled with the feature `ssr` only, from the one gate in `lib.rs`.
//!
//! Requests come in through `router`, pass `http` and `auth`, and reach a page, a server function or an `api` route;
//! those call `services`, which own transactions and call `store`. Nothing below knows anything above.

pub mod api;
pub mod auth;
pub mod buffers;
pub mod clock;
pub mod command_line;
pub mod config;
mod connections;
pub mod database;
pub mod drawn;
pub mod health;
pub mod http;
pub mod jobs;
pub mod lifecycle;
pub mod node;
pub mod output;
pub mod realtime;
pub mod router;
pub mod serve;
pub mod services;
pub mod shell;
pub mod state;
pub mod store;
pub mod telemetry;
