//! The session monitor: keeps every tab in step with its session.
//!
//! - [`domain::state_machine`]: the rules. Pure; `docs/live.md` describes them.
//! - [`monitor`]: one per tab. Sends inputs to the state machine and executes its effects.
//! - [`tabs`]: messages between the tabs of one browser, and the choice of the leader, which opens the stream.
//! - [`check`]: fetches the session state.
//! - [`toasts`]: short messages.
//!
//! Server functions are called through [`crate::server_fns::client`]: requests wait while the session is uncertain,
//! and none hangs. `ui/components/live/` shows the results.

pub mod check;
pub mod monitor;
pub mod tabs;
pub mod toasts;
