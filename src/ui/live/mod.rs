//! The browser's session monitor: every tab knows within moments how its session stands, and none is wrong about it.
//!
//! - [`machine`]: what follows from what happens. Pure; `docs/live.md` draws it.
//! - [`monitor`]: one a tab. Tells the machine what happens and carries out what follows.
//! - [`tabs`]: the tabs of one browser: which of them keeps the stream, and what they tell each other.
//! - [`check`]: asks the server how the session stands.
//! - [`toasts`]: what is said in passing.
//!
//! Server functions are called by way of [`crate::server_fns::client`]: calls wait while the tab is unsure, and none hangs.
//! What a person sees of it stands in `ui/components/live/`.

pub mod check;
pub mod monitor;
pub mod tabs;
pub mod toasts;
