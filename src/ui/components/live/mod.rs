//! Banners and dialogs of the session monitor (`ui/live/`), on every page behind sign-in.

pub mod ended;
pub mod toast_region;
pub mod unreachable;
pub mod warning;
