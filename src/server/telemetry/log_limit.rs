//! Limits how often one message is logged, so that clients cannot fill the log.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

const INTERVAL: Duration = Duration::from_secs(60);

/// Allows one message per minute. Declare it as a `static` beside the message.
#[derive(Debug)]
pub struct OncePerMinute(Mutex<State>);

#[derive(Debug)]
struct State {
    last: Option<Instant>,
    suppressed: u64,
}

impl OncePerMinute {
    pub const fn new() -> Self {
        Self(Mutex::new(State {
            last: None,
            suppressed: 0,
        }))
    }

    /// Returns how many messages were suppressed since the last one, if one may be written now.
    pub fn allow(&self) -> Option<u64> {
        self.allow_at(Instant::now())
    }

    fn allow_at(&self, now: Instant) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.last.is_some_and(|last| now.duration_since(last) < INTERVAL) {
            state.suppressed += 1;
            return None;
        }
        state.last = Some(now);
        Some(std::mem::take(&mut state.suppressed))
    }
}

impl Default for OncePerMinute {
    fn default() -> Self {
        Self::new()
    }
}

/// Returns a client's bytes as safe log text: printable ASCII, at most 200 characters.
pub fn sanitized(bytes: &[u8]) -> String {
    bytes.escape_ascii().map(char::from).take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_message_per_minute_is_allowed() {
        let (limit, start) = (OncePerMinute::new(), Instant::now());
        assert_eq!(limit.allow_at(start), Some(0));
        assert_eq!(limit.allow_at(start + Duration::from_secs(1)), None);
        assert_eq!(limit.allow_at(start + Duration::from_secs(59)), None);
        assert_eq!(limit.allow_at(start + INTERVAL), Some(2));
        assert_eq!(limit.allow_at(start + INTERVAL), None);
    }

    #[test]
    fn sanitized_text_stays_on_one_line() {
        assert_eq!(sanitized(b"a\n\x1b[31m\xe9"), r"a\n\x1b[31m\xe9");
        assert_eq!(sanitized(&[b'x'; 1000]).len(), 200);
    }
}
