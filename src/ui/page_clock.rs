//! The time that a page counts ages from: the server's, carried on by the browser. A browser whose own clock is wrong
//! shows the right ages all the same.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use leptos::prelude::*;

use super::{browser, components::dynamic::effect};

/// How often ages are counted anew.
const TICK: Duration = Duration::from_secs(10);

/// Tells the server's time to a page. The same at hydration as on the server, then ticking.
#[derive(Clone, Copy, Debug)]
pub struct PageClock {
    now: RwSignal<DateTime<Utc>>,
}

impl PageClock {
    /// A clock that follows `server_time` whenever that changes, and ticks between.
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
                // The page may be gone before the interval is.
                if let Some((time, since)) = anchor.try_get_value().flatten() {
                    #[expect(clippy::cast_possible_truncation, reason = "a page is not open for that long")]
                    let elapsed = (browser::wall_clock_ms() - since).max(0.0) as i64;
                    _ = now.try_set(time + TimeDelta::milliseconds(elapsed));
                }
            };
            // Without an interval, ages stay as old as the page: not wrong by more than that.
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
