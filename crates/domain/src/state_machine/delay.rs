//! Backoff and jitter.

use super::Millis;

/// The longest delay.
pub(super) const MAX_BACKOFF: Millis = 5 * 60_000;

/// Doubles `pause` with each of `times` failures.
pub(super) fn backoff(pause: Millis, times: u32) -> Millis {
    (pause << times.min(16)).min(MAX_BACKOFF)
}

/// A random delay between half of `pause` and `pause`.
pub(super) fn with_jitter(pause: Millis, jitter: f64) -> Millis {
    scaled(pause, 0.5 + jitter / 2.0)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "a pause is minutes at the most"
)]
pub(super) fn scaled(pause: Millis, by: f64) -> Millis {
    (pause as f64 * by) as Millis
}
