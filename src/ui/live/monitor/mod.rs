//! One tab's monitor: tells the [`SessionMachine`] what happens and carries out what follows.
//!
//! What happens comes from [`browser_events`], from [`other_tabs`], from the [`stream`] and from the page's requests.

mod browser_events;
mod other_tabs;
mod stream;

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
    state_machine::{
        Effect, ExpiryWarning, Input, Millis, MonitorStatus, RequestGate, SessionEnd, SessionMachine,
    },
};

use crate::{
    error::AppError,
    server_fns::client::{self, CallOutcome, SessionHooks},
    ui::browser::{self, event_stream::EventStream},
};

/// A browser that has not left the page by then may not leave it at all.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(3);

/// Milliseconds, of which a browser's timer takes 24 days at the most.
const MAX_TIMER_MS: u64 = 24 * 3600 * 1000;

/// What the page shows of the session. Pages and components follow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionView {
    pub status: MonitorStatus,
    pub warning: Option<ExpiryWarning>,
    /// The page is on its way out, and nothing of it is to be seen any more.
    pub is_unloading: bool,
}

impl SessionView {
    /// Private data is not to be on the screen.
    pub fn is_content_hidden(self) -> bool {
        self.is_unloading || self.is_ended_or_overdue()
    }

    /// The session is over, or should be.
    pub fn is_ended_or_overdue(self) -> bool {
        matches!(
            self.status,
            MonitorStatus::Ended(_) | MonitorStatus::Unreachable { overdue: true }
        )
    }

    /// The server could not be asked.
    pub fn is_unreachable(self) -> bool {
        matches!(self.status, MonitorStatus::Unreachable { .. })
    }

    /// Why the session is over, where it is.
    pub fn end(self) -> Option<SessionEnd> {
        match self.status {
            MonitorStatus::Ended(end) => Some(end),
            _ => None,
        }
    }

    /// What a person asks for can be done.
    pub fn can_act(self) -> bool {
        matches!(self.status, MonitorStatus::Live | MonitorStatus::Unsure)
    }
}

/// How often the page was asked to load things anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RefreshCounts {
    pub sessions: u32,
    pub all: u32,
}

thread_local! {
    /// The monitor of this tab, while a page behind sign-in is open.
    static CURRENT: Cell<Option<SessionMonitor>> = const { Cell::new(None) };
    /// What it has beside what the page shows. Not in a stored value: the server, which makes pages on many threads, has
    /// no such thing.
    static INNER: RefCell<Option<Inner>> = const { RefCell::new(None) };
}

/// By which calls of server functions pass.
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

/// No page behind sign-in is open any more.
pub fn stop() {
    client::set_session_hooks(None);
    CURRENT.set(None);
    INNER.set(None);
}

/// Leaves the page, whose session has just been ended for this reason, for another of the portal.
pub fn leave_page(path: &str, reason: EndReason) {
    match CURRENT.get() {
        Some(monitor) => monitor.leave(path, reason),
        None => browser::go_to(path),
    }
}

/// The person ends these sessions here; see [`SessionMonitor::announce_revocation`].
pub fn announce_revocation(sessions: &[SessionId]) {
    if let Some(monitor) = CURRENT.get() {
        monitor.announce_revocation(sessions);
    }
}

/// Whether the person has just ended that session in this browser.
pub fn has_just_revoked(session: SessionId) -> bool {
    CURRENT
        .get()
        .is_some_and(|monitor| monitor.has_just_revoked(session))
}

/// Whether a monitor tells the person of the session's end on this page.
pub fn is_running() -> bool {
    CURRENT.get().is_some()
}

/// In the context of every page behind sign-in. On the server, and in a page before its script has taken over, the
/// session is live: the page would not be there else.
#[derive(Clone, Copy, Debug)]
pub struct SessionMonitor {
    view: RwSignal<SessionView>,
    refreshes: RwSignal<RefreshCounts>,
    toasts: Toasts,
}

/// What only the browser's side has.
struct Inner {
    machine: SessionMachine,
    /// The session, its person and where they are, as the page shows them.
    shown: SessionState,
    /// The session that is known of. Another than the one shown after signing in again.
    session: SessionId,
    /// The number that this tab goes by.
    tab: u32,
    tabs: TabChannel,
    /// When a tab that leads was last heard.
    leader_seen_at: Option<Millis>,
    is_leader: bool,
    stream: Option<EventStream>,
    /// It was answered, and has not broken off.
    stream_is_open: bool,
    /// The last event that any tab of this browser was told.
    event_number: i64,
    timer: Option<TimeoutHandle>,
    waiting: Vec<oneshot::Sender<()>>,
    /// Other sessions that the person ends in this browser, and when.
    revoked: Vec<(SessionId, Millis)>,
    /// The person ends the session here: the page is on its way out.
    is_leaving: bool,
    /// It has nothing to show any more.
    is_unloading: bool,
    /// It came out of the browser's memory and is covered until it is known whose it is.
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

    /// The page is there, and what a person asks for can be done.
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

    /// The limits that the session lives under, in seconds: without activity, and in all.
    pub fn limits(self) -> Option<(i64, i64)> {
        self.with_inner(|inner| {
            let times = &inner.shown.session;
            let idle = times.idle_expires_at - times.last_active_at;
            let lifetime = times.expires_at - times.created_at;
            (idle.num_seconds(), lifetime.num_seconds())
        })
    }

    /// Has everything on the page loaded anew.
    pub fn refresh(self) {
        self.execute(Effect::RefreshAll);
    }

    /// Has the list of sessions loaded anew, if somebody may see it.
    pub fn refresh_sessions(self) {
        self.handle(Input::SessionsChanged);
    }

    pub fn refreshes(self) -> RefreshCounts {
        self.refreshes.get()
    }

    /// What the page shows now was loaded for this state. The first time, the monitor begins with it.
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
        // The page was asked for by the person. And it may be the first after signing in again.
        self.broadcast(TabEvent::Live(times));
        if can_share_stream {
            self.request_lead(false);
            self.probe_leader();
        } else {
            // Each tab for itself; only while it is seen, since a browser opens a few connections to a server only.
            self.lead_while_visible();
        }
        self.publish_view();
    }

    /// Takes in what happened, and does what follows.
    pub fn handle(self, input: Input) {
        let now = browser::monotonic_ms();
        let effects = self.with_inner(|inner| {
            // The answer to what ends the session is no sign of its life.
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

    /// The person ends their session here, alone or with others. Other tabs know whose doing it is.
    pub fn announce_sign_out(self) {
        self.with_inner(|inner| inner.is_leaving = true);
        self.broadcast(TabEvent::SigningOut);
    }

    /// It is done: nothing of the page is to be seen while the browser leaves it. Should the browser not get away, the end
    /// is told over the page.
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

    /// It did not work: the page stays.
    pub fn cancel_sign_out(self) {
        self.with_inner(|inner| inner.is_leaving = false);
        self.handle(Input::OtherSessionSeen);
    }

    /// Someone signed in in this tab.
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

    /// Shows how things stand, and sets the timer for when they may change by themselves.
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
        // A page on its way out says nothing of its end.
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

    /// The server has moved the idle end: the person is here.
    pub fn apply_extension(self, state: &SessionState) {
        self.handle(Input::OtherTabLive(check::local_expiry(state)));
    }

    /// The server said how the session stands.
    fn apply_check(self, state: &SessionState) {
        let Some((is_same_person, changed)) = self.with_inner(|inner| {
            let shown = &inner.shown;
            let changed = (&shown.user, &shown.organization) != (&state.user, &state.organization);
            inner.session = state.session.id;
            (shown.user.id == state.user.id, changed)
        }) else {
            return;
        };
        if is_same_person {
            let times = check::local_expiry(state);
            self.handle(Input::CheckedLive { times, changed });
        } else {
            // Someone else is signed in in this browser. Nothing of this page is theirs.
            self.leave("/dashboard", EndReason::Unknown);
            self.handle(Input::CheckFailed);
        }
    }

    /// What a call has to wait for before it goes out. `None`: nothing.
    fn wait_for_session(self) -> Option<oneshot::Receiver<()>> {
        let (decides, decided) = oneshot::channel();
        let waits = self.with_inner(|inner| {
            let waits = inner.machine.gate() == RequestGate::Closed;
            if waits {
                // Some have given up meanwhile.
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

    /// The session, where the server has said that it is live.
    fn live_session(self) -> Option<SessionId> {
        self.with_inner(|inner| (inner.machine.status() == MonitorStatus::Live).then_some(inner.session))?
    }

    fn with_inner<T>(self, change: impl FnOnce(&mut Inner) -> T) -> Option<T> {
        INNER.with(|inner| inner.try_borrow_mut().ok()?.as_mut().map(change))
    }
}

/// A number by which the other tabs know this one.
fn random_tab_id() -> u32 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "from 0 to the highest"
    )]
    let number = (browser::random() * f64::from(u32::MAX)) as u32;
    number
}
