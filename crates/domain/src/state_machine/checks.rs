//! Checks of the session, and the handling of their results.

use super::{
    Effect, ExpiryTimes, Millis, MonitorStatus, PendingRefresh, SessionEnd, SessionMachine,
    delay::{backoff, with_jitter},
};
use crate::session::EndReason;

/// Delay after the first failed check. Doubles with each further failure.
pub(super) const INITIAL_BACKOFF: Millis = 2_000;

/// Delays before an unknown credential is checked again. It may have just been rotated, and the new cookie may be on
/// its way to another tab.
pub(super) const UNKNOWN_RETRY_DELAYS: [Millis; 3] = [300, 1_000, 3_000];

/// If another tab announced a sign-out, an end of the session within this time counts as caused by this browser.
pub const OWN_END_WINDOW: Millis = 30_000;

impl SessionMachine {
    /// Starts a check, unless one is running.
    pub(super) fn check(&mut self, effects: &mut Vec<Effect>) {
        self.check_at = None;
        if !self.is_checking {
            self.is_checking = true;
            effects.push(Effect::Check);
        }
    }

    /// Makes requests wait for the next check. Not in `Unreachable`, where they already wait.
    pub(super) fn mark_unsure(&mut self) {
        if self.status == MonitorStatus::Live {
            self.status = MonitorStatus::Unsure;
        }
    }

    pub(super) fn set_live(&mut self, times: ExpiryTimes, now: Millis) {
        self.status = MonitorStatus::Live;
        self.times = times;
        self.failed_checks = 0;
        self.unknown_results = 0;
        self.is_online = true;
        self.schedule_check(now);
    }

    pub(super) fn set_ended(&mut self, reason: EndReason, now: Millis, effects: &mut Vec<Effect>) {
        if let MonitorStatus::Ended(end) = &mut self.status {
            // A known reason replaces an unknown one.
            if end.reason.can_be_stale() {
                end.reason = reason;
            }
            return;
        }
        self.status = MonitorStatus::Ended(SessionEnd {
            reason,
            by_this_browser: self
                .signing_out_at
                .take()
                .is_some_and(|at| now - at <= OWN_END_WINDOW),
        });
        self.check_at = None;
        // The running check may report the session as live, from before the end.
        self.needs_recheck = self.is_checking;
        self.close_stream(effects);
        effects.push(Effect::ReleaseRequests);
    }

    /// The check found a live session.
    pub(super) fn record_live(
        &mut self,
        times: ExpiryTimes,
        is_page_outdated: bool,
        now: Millis,
        effects: &mut Vec<Effect>,
    ) {
        let previous = self.status;
        self.set_live(times, now);
        effects.push(Effect::AnnounceLive(times));
        self.open_stream(now, effects);
        if matches!(
            previous,
            MonitorStatus::Ended(_) | MonitorStatus::Unreachable { .. }
        ) {
            self.pending_refresh = PendingRefresh::All;
        }
        self.refresh_outdated_page(is_page_outdated, now);
        self.run_pending_refresh(effects);
        effects.push(Effect::ReleaseRequests);
    }

    /// The check found no live session.
    pub(super) fn record_ended(&mut self, reason: EndReason, now: Millis, effects: &mut Vec<Effect>) {
        self.failed_checks = 0;
        let delay = UNKNOWN_RETRY_DELAYS
            .get(self.unknown_results)
            .filter(|_| reason.can_be_stale() && !matches!(self.status, MonitorStatus::Ended(_)));
        if let Some(delay) = delay {
            self.unknown_results += 1;
            self.mark_unsure();
            self.check_at = Some(now + delay);
        } else {
            self.set_ended(reason, now, effects);
            effects.push(Effect::AnnounceEnded(reason));
        }
    }

    /// The check got no usable response.
    pub(super) fn record_failure(&mut self, now: Millis, jitter: f64) {
        // Requests keep waiting. Releasing them would make them check again without a delay.
        self.failed_checks = self.failed_checks.saturating_add(1);
        let delay = with_jitter(backoff(INITIAL_BACKOFF, self.failed_checks - 1), jitter);
        // Retry also after the session ended: another tab may have signed in.
        self.check_at = (self.is_visible && self.is_online).then_some(now + delay);
        if !matches!(self.status, MonitorStatus::Ended(_)) {
            let is_overdue = now >= self.times.expires_at();
            self.status = MonitorStatus::Unreachable { is_overdue };
            self.schedule_expiry_check(now);
        }
    }

    /// Another tab found the session live.
    pub(super) fn record_other_tab_live(
        &mut self,
        times: ExpiryTimes,
        now: Millis,
        effects: &mut Vec<Effect>,
    ) {
        if let MonitorStatus::Ended(end) = self.status {
            // Another tab has used the session. Its cookie may have been rotated during this tab's check.
            if end.reason.can_be_stale() {
                self.needs_recheck |= self.is_checking;
                self.check(effects);
            }
        } else {
            let previous = self.status;
            self.set_live(times, now);
            if matches!(previous, MonitorStatus::Unreachable { .. }) {
                self.pending_refresh = PendingRefresh::All;
            }
            self.open_stream(now, effects);
            self.run_pending_refresh(effects);
            effects.push(Effect::ReleaseRequests);
        }
    }
}
