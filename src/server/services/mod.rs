//! Business operations. Each service owns its transaction, with its audit events and session events.
//!
//! Services receive the caller as an argument and check permissions. They do not know HTTP or Leptos.

pub mod accounts;
pub mod admin;
pub mod alerts;
pub mod audit_chain;
pub mod audit_export;
pub mod audit_verification;
pub mod change_password;
pub mod cleanup;
pub mod dashboard;
pub mod demo;
pub mod denials;
pub mod extend;
pub mod maintenance;
pub mod password_rehash;
pub mod rate_limit;
pub mod reauthentication;
pub mod refresh;
pub mod revoke;
pub mod rotation;
pub mod seed;
pub mod session_state;
pub mod session_view;
pub mod sign_in;
pub mod statistics;
pub mod suspicion;
pub mod switch_organization;
pub mod throttle;
