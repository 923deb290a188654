//! Backoff and jitter.

use super::Millis;

/// Longest delay of a backoff.
pub(super) const MAX_BACKOFF: Millis = 5 * 60_000;

/// Doubles the initial delay with each failure.
pub(super) fn backoff(initial: Millis, doublings: u32) -> Millis {
    (initial << doublings.min(16)).min(MAX_BACKOFF)
}

/// Returns a random delay between half of `delay` and `delay`.
pub(super) fn with_jitter(delay: Millis, jitter: f64) -> Millis {
    scale_delay(delay, 0.5 + jitter / 2.0)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "a delay is a few minutes at most"
)]
pub(super) fn scale_delay(delay: Millis, factor: f64) -> Millis {
    (delay as f64 * factor) as Millis
}
