//! The portal as a whole: the real router on a real Postgres. Every name says what holds.

mod harness;

mod smoke;
