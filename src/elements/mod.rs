//! Visual elements that pages and the administrators' views share.

pub mod icon;
pub mod notice;
