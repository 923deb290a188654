//! The clock for ages on a page: the server's time, advanced by the browser. It is right even if the browser's own
//! clock is wrong.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use leptos::prelude::*;

use super::{browser, components::dynamic::effect};

/// How often ages are updated.
const TICK: Duration = Duration::from_secs(10);

/// A clock with the server's time. Equal to the server's during hydration, then it ticks.
#[derive(Clone, Copy, Debug)]
pub struct PageClock {
    now: RwSignal<DateTime<Utc>>,
}

impl PageClock {
    /// Creates a clock that follows `server_time` and ticks between its changes.
    pub fn following(server_time: Signal<DateTime<Utc>>) -> Self {
        let now = RwSignal::new(server_time.get_untracked());
        let anchor = StoredValue::new(None);
        effect(move || {
            let time = server_time.get();
            anchor.set_value(Some((time, browser::wall_clock_ms())));
            now.set(time);
        });
        effect(move || {
            let tick = move || {
                // The page may be gone before the interval.
                if let Some((time, since)) = anchor.try_get_value().flatten() {
                    #[expect(clippy::cast_possible_truncation, reason = "a page is not open for that long")]
                    let elapsed = (browser::wall_clock_ms() - since).max(0.0) as i64;
                    _ = now.try_set(time + TimeDelta::milliseconds(elapsed));
                }
            };
            // Without an interval, ages stay as old as the page.
            if let Ok(interval) = set_interval_with_handle(tick, TICK) {
                on_cleanup(move || interval.clear());
            }
        });
        Self { now }
    }

    pub fn now(self) -> DateTime<Utc> {
        self.now.get()
    }
}
