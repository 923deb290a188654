//! The session monitor of one tab: sends inputs to the [`SessionMachine`] and executes its effects.
//!
//! Inputs come from [`browser_events`], [`other_tabs`], the [`stream`] and the requests of the page.

mod browser_events;
mod other_tabs;
mod session_view;
mod stream;

pub use session_view::SessionView;

use std::{
    cell::{Cell, RefCell},
    time::Duration,
};

use futures_channel::oneshot;
use leptos::{leptos_dom::helpers::TimeoutHandle, prelude::*, task::spawn_local};

use super::{
    check,
    tabs::{TabChannel, TabEvent},
    toasts::Toasts,
};
use domain::{
    ids::SessionId,
    session::EndReason,
    session_state::SessionState,
    state_machine::{Effect, Input, Millis, MonitorStatus, RequestGate, SessionMachine},
};

use crate::{
    error::AppError,
    server_fns::client::{self, CallOutcome, SessionHooks},
    ui::browser::{self, event_stream::EventStream},
};

/// A browser that has not left the page within this time may stay.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(3);

/// The longest timer of browsers is about 24 days.
const MAX_TIMER_MS: u64 = 24 * 3600 * 1000;

/// How often data was reloaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RefreshCounts {
    pub sessions: u32,
    pub all: u32,
}

thread_local! {
    /// The session monitor of this tab, while a page behind sign-in is open.
    static CURRENT: Cell<Option<SessionMonitor>> = const { Cell::new(None) };
    /// State in the browser. Not a `StoredValue`, because the server renders on many threads and has no such state.
    static INNER: RefCell<Option<Inner>> = const { RefCell::new(None) };
}

/// The hooks for the client of server functions.
const HOOKS: SessionHooks = SessionHooks {
    wait_for_session: || CURRENT.get()?.wait_for_session(),
    live_session: || CURRENT.get()?.live_session(),
    report,
};

fn report(outcome: CallOutcome) {
    let input = match outcome {
        CallOutcome::Succeeded => Input::UserActed,
        CallOutcome::Rejected => Input::RequestRejected,
        CallOutcome::Failed => Input::RequestFailed,
    };
    if let Some(monitor) = CURRENT.get() {
        monitor.handle(input);
    }
}

/// Stops the monitor when no page behind sign-in is open.
pub fn stop() {
    client::set_session_hooks(None);
    CURRENT.set(None);
    INNER.set(None);
}

/// Leaves the page after its session has ended for `reason`.
pub fn leave_page(path: &str, reason: EndReason) {
    match CURRENT.get() {
        Some(monitor) => monitor.leave(path, reason),
        None => browser::go_to(path),
    }
}

/// See [`SessionMonitor::announce_revocation`].
pub fn announce_revocation(sessions: &[SessionId]) {
    if let Some(monitor) = CURRENT.get() {
        monitor.announce_revocation(sessions);
    }
}

/// Whether this browser has just revoked that session.
pub fn has_just_revoked(session: SessionId) -> bool {
    CURRENT
        .get()
        .is_some_and(|monitor| monitor.has_just_revoked(session))
}

/// Whether a monitor shows the end of the session on this page.
pub fn is_running() -> bool {
    CURRENT.get().is_some()
}

/// In the context of every page behind sign-in. On the server and before hydration, the session is live, because
/// otherwise the page would not exist.
#[derive(Clone, Copy, Debug)]
pub struct SessionMonitor {
    view: RwSignal<SessionView>,
    refreshes: RwSignal<RefreshCounts>,
    toasts: Toasts,
}

/// State that exists in the browser only.
struct Inner {
    machine: SessionMachine,
    /// The session state that the page shows.
    shown: SessionState,
    /// The current session. Differs from the shown one after signing in again.
    session: SessionId,
    /// A random id of this tab.
    tab: u32,
    tabs: TabChannel,
    /// When the leader last sent a message.
    leader_seen_at: Option<Millis>,
    is_leader: bool,
    stream: Option<EventStream>,
    /// The stream is open.
    stream_is_open: bool,
    /// The last event number that any tab of this browser received.
    event_number: i64,
    timer: Option<TimeoutHandle>,
    waiting: Vec<oneshot::Sender<()>>,
    /// Other sessions that this browser revoked, with the time.
    revoked: Vec<(SessionId, Millis)>,
    /// The user signs out in this tab, so the page is being left.
    is_leaving: bool,
    /// The page must show nothing.
    is_unloading: bool,
    /// The page came from the back/forward cache and is hidden until its session is known.
    is_covered: bool,
}

impl SessionMonitor {
    pub fn new(toasts: Toasts) -> Self {
        Self {
            view: RwSignal::new(SessionView {
                status: MonitorStatus::Live,
                warning: None,
                is_unloading: false,
            }),
            refreshes: RwSignal::default(),
            toasts,
        }
    }

    /// Whether user actions can be executed, without tracking.
    pub fn can_act_now(self) -> bool {
        self.view.try_get_untracked().is_some_and(SessionView::can_act)
    }

    fn is_unreachable_now(self) -> bool {
        self.view
            .try_get_untracked()
            .is_some_and(SessionView::is_unreachable)
    }

    pub fn view(self) -> SessionView {
        self.view.get()
    }

    /// Idle timeout and lifetime of the session, in seconds.
    pub fn limits(self) -> Option<(i64, i64)> {
        self.with_inner(|inner| {
            let times = &inner.shown.session;
            let idle = times.idle_expires_at - times.last_active_at;
            let lifetime = times.expires_at - times.created_at;
            (idle.num_seconds(), lifetime.num_seconds())
        })
    }

    /// Reloads all data of the page.
    pub fn refresh(self) {
        self.execute(Effect::RefreshAll);
    }

    /// Reloads the list of sessions if the tab is visible.
    pub fn refresh_sessions(self) {
        self.handle(Input::SessionsChanged);
    }

    pub fn refreshes(self) -> RefreshCounts {
        self.refreshes.get()
    }

    /// Sets the session state that the page shows. The first call starts the monitor.
    pub fn set_shown(self, state: SessionState) {
        if self.with_inner(|inner| inner.shown = state.clone()).is_none() {
            self.start(state);
        }
    }

    fn start(self, state: SessionState) {
        let times = check::local_expiry(&state);
        let tabs = TabChannel::open(move |message| self.receive(message));
        let can_share_stream = tabs.can_share_stream();
        let now = browser::monotonic_ms();
        INNER.set(Some(Inner {
            machine: SessionMachine::new(times, browser::is_visible(), browser::is_online(), now),
            session: state.session.id,
            event_number: state.event_number,
            shown: state,
            tab: random_tab_id(),
            tabs,
            leader_seen_at: None,
            is_leader: false,
            stream: None,
            stream_is_open: false,
            timer: None,
            waiting: Vec::new(),
            revoked: Vec::new(),
            is_leaving: false,
            is_unloading: false,
            is_covered: false,
        }));
        CURRENT.set(Some(self));
        client::set_session_hooks(Some(HOOKS));
        self.listen();
        // The user requested this page. It may also be the first after signing in again.
        self.broadcast(TabEvent::Live(times));
        if can_share_stream {
            self.request_lead(false);
            self.probe_leader();
        } else {
            // Every tab on its own. Only while visible, because browsers limit connections per server.
            self.lead_while_visible();
        }
        self.publish_view();
    }

    /// Processes an input and executes the effects.
    pub fn handle(self, input: Input) {
        let now = browser::monotonic_ms();
        let effects = self.with_inner(|inner| {
            // The response to a sign-out does not extend the session.
            if inner.is_leaving && input == Input::UserActed {
                return Vec::new();
            }
            inner.machine.handle(input, now, browser::random())
        });
        for effect in effects.unwrap_or_default() {
            self.execute(effect);
        }
        self.publish_view();
    }

    /// Announces to the other tabs that the user signs out in this tab.
    pub fn announce_sign_out(self) {
        self.with_inner(|inner| inner.is_leaving = true);
        self.broadcast(TabEvent::SigningOut);
    }

    /// Hides the page and navigates away. If the browser stays, the page shows that the session ended.
    fn leave(self, path: &str, reason: EndReason) {
        self.with_inner(|inner| {
            inner.is_leaving = true;
            inner.is_unloading = true;
        });
        self.publish_view();
        browser::go_to(path);
        let stays = move || {
            self.with_inner(|inner| inner.is_leaving = false);
            self.handle(Input::SessionEnded(reason));
            self.with_inner(|inner| inner.is_unloading = false);
            self.publish_view();
        };
        set_timeout(stays, LEAVE_TIMEOUT);
    }

    /// Continues after a failed sign-out.
    pub fn cancel_sign_out(self) {
        self.with_inner(|inner| inner.is_leaving = false);
        self.handle(Input::OtherSessionSeen);
    }

    /// Continues after sign-in in this tab.
    pub fn after_sign_in(self) {
        self.broadcast(TabEvent::SignedIn);
        self.handle(Input::OtherSessionSeen);
    }

    fn execute(self, effect: Effect) {
        match effect {
            Effect::Check => spawn_local(async move { self.check().await }),
            Effect::OpenStream => self.open_stream(),
            Effect::CloseStream => {
                self.with_inner(|inner| {
                    inner.stream = None;
                    inner.stream_is_open = false;
                });
            }
            Effect::AnnounceStreamLost => self.broadcast(TabEvent::StreamLost),
            Effect::ProbeLeader => self.probe_leader(),
            Effect::ReleaseRequests => {
                self.with_inner(|inner| inner.waiting.clear());
            }
            Effect::RefreshSessions => self.refreshes.update(|refreshes| refreshes.sessions += 1),
            Effect::RefreshAll => self.refreshes.update(|refreshes| refreshes.all += 1),
            Effect::AnnounceLive(times) => self.broadcast(TabEvent::Live(times)),
            Effect::AnnounceEnded(reason) => self.broadcast(TabEvent::Ended(reason)),
        }
    }

    /// Publishes the new state and sets the timer for the next input.
    fn publish_view(self) {
        let now = browser::monotonic_ms();
        let Some((view, next_wake_at, is_leaving)) = self.with_inner(|inner| {
            if let Some(timer) = inner.timer.take() {
                timer.clear();
            }
            let view = SessionView {
                status: inner.machine.status(),
                warning: inner.machine.warning(now),
                is_unloading: inner.is_unloading,
            };
            let is_known = matches!(view.status, MonitorStatus::Live | MonitorStatus::Ended(_));
            if is_known && std::mem::take(&mut inner.is_covered) {
                browser::set_covered(false);
            }
            (view, inner.machine.next_wake_at(now), inner.is_leaving)
        }) else {
            return;
        };
        // A page that is being left does not show its end.
        if (!is_leaving || view.is_unloading)
            && self.view.try_get_untracked().is_some_and(|shown| shown != view)
        {
            self.view.set(view);
        }
        if let Some(at) = next_wake_at {
            let pause = u64::try_from(at - now).unwrap_or_default().min(MAX_TIMER_MS);
            let timer = set_timeout_with_handle(
                move || self.handle(Input::TimerFired),
                Duration::from_millis(pause),
            );
            self.with_inner(|inner| inner.timer = timer.ok());
        }
    }

    async fn check(self) {
        client::wait_until_idle().await;
        match check::fetch_state().await {
            Ok(state) => self.apply_check(&state),
            Err(AppError::SessionEnded { reason }) => self.handle(Input::CheckedEnded(reason)),
            Err(_) => self.handle(Input::CheckFailed),
        }
    }

    /// Applies an extended idle timeout.
    pub fn apply_extension(self, state: &SessionState) {
        self.handle(Input::OtherTabLive(check::local_expiry(state)));
    }

    /// Applies the session state of a check.
    fn apply_check(self, state: &SessionState) {
        let Some((is_same_user, is_page_outdated)) = self.with_inner(|inner| {
            let shown = &inner.shown;
            let is_page_outdated = (&shown.user, &shown.organization) != (&state.user, &state.organization);
            inner.session = state.session.id;
            (shown.user.id == state.user.id, is_page_outdated)
        }) else {
            return;
        };
        if is_same_user {
            let times = check::local_expiry(state);
            self.handle(Input::CheckedLive {
                times,
                is_page_outdated,
            });
        } else {
            // Another user is signed in in this browser. They must not see this page.
            self.leave("/dashboard", EndReason::Unknown);
            self.handle(Input::CheckFailed);
        }
    }

    /// Returns a receiver that resolves when requests may be sent. `None`: now.
    fn wait_for_session(self) -> Option<oneshot::Receiver<()>> {
        let (decides, decided) = oneshot::channel();
        let waits = self.with_inner(|inner| {
            let waits = inner.machine.request_gate() == RequestGate::Closed;
            if waits {
                // Some requests have timed out meanwhile.
                inner.waiting.retain(|waiting| !waiting.is_canceled());
                inner.waiting.push(decides);
            }
            waits
        })?;
        if !waits {
            return None;
        }
        self.handle(Input::RequestWaiting);
        Some(decided)
    }

    /// The session, if it is known to be live.
    fn live_session(self) -> Option<SessionId> {
        self.with_inner(|inner| (inner.machine.status() == MonitorStatus::Live).then_some(inner.session))?
    }

    fn with_inner<T>(self, change: impl FnOnce(&mut Inner) -> T) -> Option<T> {
        INNER.with(|inner| inner.try_borrow_mut().ok()?.as_mut().map(change))
    }
}

/// A random id that distinguishes this tab from others.
fn random_tab_id() -> u32 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "from 0 to the highest"
    )]
    let number = (browser::random() * f64::from(u32::MAX)) as u32;
    number
}
