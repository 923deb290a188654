//! What a person sees of the session monitor (`ui/live/`), around every page behind sign-in.

pub mod ended;
pub mod toast_region;
pub mod unreachable;
pub mod warning;
