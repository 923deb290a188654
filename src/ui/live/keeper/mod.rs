//! One tab's keeper: tells the [`Machine`] what happens and carries out what follows.
//!
//! What happens comes from [`this_tab`], from [`other_tabs`], from the [`stream`] and from the page's requests.

mod other_tabs;
mod stream;
mod this_tab;

use std::{
    cell::{Cell, RefCell},
    time::Duration,
};

use futures_channel::oneshot;
use leptos::{leptos_dom::helpers::TimeoutHandle, prelude::*, task::spawn_local};

use super::{
    check,
    tabs::{Tabs, What},
    toasts::Toasts,
};
use domain::{
    ids::SessionId,
    session::EndReason,
    session_state::SessionState,
    state_machine::{Effect, End, Event, Gate, Machine, Millis, Standing, Warning},
};

use crate::{
    error::AppError,
    server_fns::client::{self, Outcome, Watch},
    ui::browser::{self, event_stream::EventStream},
};

/// A browser that has not left the page by then may not leave it at all.
const GETS_AWAY_WITHIN: Duration = Duration::from_secs(3);

/// Milliseconds, of which a browser's timer takes 24 days at the most.
const LONGEST_TIMER: u64 = 24 * 3600 * 1000;

/// What the page shows of the session. Pages and components follow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    pub standing: Standing,
    pub warning: Option<Warning>,
    /// The page is on its way out, and nothing of it is to be seen any more.
    pub has_departed: bool,
}

impl View {
    /// Private data is not to be on the screen.
    pub fn is_gone(self) -> bool {
        self.has_departed || self.is_over()
    }

    /// The session is over, or should be.
    pub fn is_over(self) -> bool {
        matches!(
            self.standing,
            Standing::Ended(_) | Standing::Unreachable { overdue: true }
        )
    }

    /// The server could not be asked.
    pub fn is_unreachable(self) -> bool {
        matches!(self.standing, Standing::Unreachable { .. })
    }

    /// Why the session is over, where it is.
    pub fn end(self) -> Option<End> {
        match self.standing {
            Standing::Ended(end) => Some(end),
            _ => None,
        }
    }

    /// What a person asks for can be done.
    pub fn may_act(self) -> bool {
        matches!(self.standing, Standing::Live | Standing::Unsure)
    }
}

/// How often the page was asked to load things anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refreshes {
    pub sessions: u32,
    pub all: u32,
}

thread_local! {
    /// The keeper of this tab, while a page behind sign-in is open.
    static OF_THIS_TAB: Cell<Option<Keeper>> = const { Cell::new(None) };
    /// What it has beside what the page shows. Not in a stored value: the server, which makes pages on many threads, has
    /// no such thing.
    static INNER: RefCell<Option<Inner>> = const { RefCell::new(None) };
}

/// By which calls of server functions pass.
const WATCH: Watch = Watch {
    wait: || OF_THIS_TAB.get()?.wait(),
    live_session: || OF_THIS_TAB.get()?.live_session(),
    note,
};

fn note(outcome: Outcome) {
    let event = match outcome {
        Outcome::Acted => Event::Acted,
        Outcome::Refused => Event::RequestRefused,
        Outcome::Failed => Event::RequestFailed,
    };
    if let Some(keeper) = OF_THIS_TAB.get() {
        keeper.happens(event);
    }
}

/// No page behind sign-in is open any more.
pub fn stop() {
    client::be_watched(None);
    OF_THIS_TAB.set(None);
    INNER.set(None);
}

/// Leaves the page, whose session has just been ended for this reason, for another of the portal.
pub fn depart(path: &str, reason: EndReason) {
    match OF_THIS_TAB.get() {
        Some(keeper) => keeper.departs(path, reason),
        None => browser::go_to(path),
    }
}

/// The person ends these sessions here; see [`Keeper::ends`].
pub fn ends(sessions: &[SessionId]) {
    if let Some(keeper) = OF_THIS_TAB.get() {
        keeper.ends(sessions);
    }
}

/// Whether the person has just ended that session in this browser.
pub fn has_just_ended(session: SessionId) -> bool {
    OF_THIS_TAB
        .get()
        .is_some_and(|keeper| keeper.has_just_ended(session))
}

/// Whether a keeper tells the person of the session's end on this page.
pub fn is_kept() -> bool {
    OF_THIS_TAB.get().is_some()
}

/// In the context of every page behind sign-in. On the server, and in a page before its script has taken over, the
/// session is live: the page would not be there else.
#[derive(Clone, Copy, Debug)]
pub struct Keeper {
    view: RwSignal<View>,
    refreshes: RwSignal<Refreshes>,
    toasts: Toasts,
}

/// What only the browser's side has.
struct Inner {
    machine: Machine,
    /// The session, its person and where they are, as the page shows them.
    shown: SessionState,
    /// The session that is known of. Another than the one shown after signing in again.
    session: SessionId,
    /// The number that this tab goes by.
    tab: u32,
    tabs: Tabs,
    /// When a tab that leads was last heard.
    leader_heard: Option<Millis>,
    leads: bool,
    stream: Option<EventStream>,
    /// It was answered, and has not broken off.
    stream_is_open: bool,
    /// The last event that any tab of this browser was told.
    event_number: i64,
    timer: Option<TimeoutHandle>,
    waiting: Vec<oneshot::Sender<()>>,
    /// Other sessions that the person ends in this browser, and when.
    ends: Vec<(SessionId, Millis)>,
    /// The person ends the session here: the page is on its way out.
    is_leaving: bool,
    /// It has nothing to show any more.
    has_departed: bool,
    /// It came out of the browser's memory and is covered until it is known whose it is.
    is_covered: bool,
}

impl Keeper {
    pub fn new(toasts: Toasts) -> Self {
        Self {
            view: RwSignal::new(View {
                standing: Standing::Live,
                warning: None,
                has_departed: false,
            }),
            refreshes: RwSignal::default(),
            toasts,
        }
    }

    /// The page is there, and what a person asks for can be done.
    pub fn may_act_now(self) -> bool {
        self.view.try_get_untracked().is_some_and(View::may_act)
    }

    fn is_unreachable_now(self) -> bool {
        self.view.try_get_untracked().is_some_and(View::is_unreachable)
    }

    pub fn view(self) -> View {
        self.view.get()
    }

    /// The limits that the session lives under, in seconds: without activity, and in all.
    pub fn limits(self) -> Option<(i64, i64)> {
        self.change(|inner| {
            let times = &inner.shown.session;
            let idle = times.idle_expires_at - times.last_active_at;
            let lifetime = times.expires_at - times.created_at;
            (idle.num_seconds(), lifetime.num_seconds())
        })
    }

    /// Has everything on the page loaded anew.
    pub fn refresh(self) {
        self.carry_out(Effect::RefreshAll);
    }

    /// Has the list of sessions loaded anew, if somebody may see it.
    pub fn refresh_sessions(self) {
        self.happens(Event::ToldSessionsChanged);
    }

    pub fn refreshes(self) -> Refreshes {
        self.refreshes.get()
    }

    /// What the page shows now was loaded for this state. The first time, the keeper begins with it.
    pub fn shows(self, state: SessionState) {
        if self.change(|inner| inner.shown = state.clone()).is_none() {
            self.start(state);
        }
    }

    fn start(self, state: SessionState) {
        let times = check::times(&state);
        let tabs = Tabs::open(move |said| self.hears(said));
        let can_share = tabs.can_share();
        let now = browser::monotonic();
        INNER.set(Some(Inner {
            machine: Machine::new(times, browser::is_visible(), browser::is_online(), now),
            session: state.session.id,
            event_number: state.event_number,
            shown: state,
            tab: draw_number(),
            tabs,
            leader_heard: None,
            leads: false,
            stream: None,
            stream_is_open: false,
            timer: None,
            waiting: Vec::new(),
            ends: Vec::new(),
            is_leaving: false,
            has_departed: false,
            is_covered: false,
        }));
        OF_THIS_TAB.set(Some(self));
        client::be_watched(Some(WATCH));
        self.listen();
        // The page was asked for by the person. And it may be the first after signing in again.
        self.say(What::Live(times));
        if can_share {
            self.seek_lead(false);
            self.ask_for_leader();
        } else {
            // Each tab for itself; only while it is seen, since a browser opens a few connections to a server only.
            self.leads_while_visible();
        }
        self.settle();
    }

    /// Takes in what happened, and does what follows.
    pub fn happens(self, event: Event) {
        let now = browser::monotonic();
        let effects = self.change(|inner| {
            // The answer to what ends the session is no sign of its life.
            if inner.is_leaving && event == Event::Acted {
                return Vec::new();
            }
            inner.machine.happens(event, now, browser::luck())
        });
        for effect in effects.unwrap_or_default() {
            self.carry_out(effect);
        }
        self.settle();
    }

    /// The person ends their session here, alone or with others. Other tabs know whose doing it is.
    pub fn leaves(self) {
        self.change(|inner| inner.is_leaving = true);
        self.say(What::EndsHere);
    }

    /// It is done: nothing of the page is to be seen while the browser leaves it. Should the browser not get away, the end
    /// is told over the page.
    fn departs(self, path: &str, reason: EndReason) {
        self.change(|inner| {
            inner.is_leaving = true;
            inner.has_departed = true;
        });
        self.settle();
        browser::go_to(path);
        let stays = move || {
            self.change(|inner| inner.is_leaving = false);
            self.happens(Event::ToldEnded(reason));
            self.change(|inner| inner.has_departed = false);
            self.settle();
        };
        set_timeout(stays, GETS_AWAY_WITHIN);
    }

    /// It did not work: the page stays.
    pub fn stays(self) {
        self.change(|inner| inner.is_leaving = false);
        self.happens(Event::HeardOther);
    }

    /// Someone signed in in this tab.
    pub fn signed_in(self) {
        self.say(What::SignedIn);
        self.happens(Event::HeardOther);
    }

    fn carry_out(self, effect: Effect) {
        match effect {
            Effect::Check => spawn_local(async move { self.check().await }),
            Effect::OpenStream => self.open_stream(),
            Effect::CloseStream => {
                self.change(|inner| {
                    inner.stream = None;
                    inner.stream_is_open = false;
                });
            }
            Effect::TellStreamLost => self.say(What::StreamLost),
            Effect::AskForLeader => self.ask_for_leader(),
            Effect::Decide => {
                self.change(|inner| inner.waiting.clear());
            }
            Effect::RefreshSessions => self.refreshes.update(|refreshes| refreshes.sessions += 1),
            Effect::RefreshAll => self.refreshes.update(|refreshes| refreshes.all += 1),
            Effect::TellLive(times) => self.say(What::Live(times)),
            Effect::TellEnded(reason) => self.say(What::Ended(reason)),
        }
    }

    /// Shows how things stand, and sets the timer for when they may change by themselves.
    fn settle(self) {
        let now = browser::monotonic();
        let Some((view, wakes_at, is_leaving)) = self.change(|inner| {
            if let Some(timer) = inner.timer.take() {
                timer.clear();
            }
            let view = View {
                standing: inner.machine.standing(),
                warning: inner.machine.warning(now),
                has_departed: inner.has_departed,
            };
            let is_known = matches!(view.standing, Standing::Live | Standing::Ended(_));
            if is_known && std::mem::take(&mut inner.is_covered) {
                browser::cover(false);
            }
            (view, inner.machine.wakes_at(now), inner.is_leaving)
        }) else {
            return;
        };
        // A page on its way out says nothing of its end.
        if (!is_leaving || view.has_departed)
            && self.view.try_get_untracked().is_some_and(|shown| shown != view)
        {
            self.view.set(view);
        }
        if let Some(at) = wakes_at {
            let pause = u64::try_from(at - now).unwrap_or_default().min(LONGEST_TIMER);
            let timer =
                set_timeout_with_handle(move || self.happens(Event::Woke), Duration::from_millis(pause));
            self.change(|inner| inner.timer = timer.ok());
        }
    }

    async fn check(self) {
        client::until_quiet().await;
        match check::ask().await {
            Ok(state) => self.learns(&state),
            Err(AppError::SessionEnded { reason }) => self.happens(Event::CheckedEnded(reason)),
            Err(_) => self.happens(Event::CheckFailed),
        }
    }

    /// The server has moved the idle end: the person is here.
    pub fn is_extended(self, state: &SessionState) {
        self.happens(Event::HeardLive(check::times(state)));
    }

    /// The server said how the session stands.
    fn learns(self, state: &SessionState) {
        let Some((is_same_person, changed)) = self.change(|inner| {
            let shown = &inner.shown;
            let changed = (&shown.user, &shown.organization) != (&state.user, &state.organization);
            inner.session = state.session.id;
            (shown.user.id == state.user.id, changed)
        }) else {
            return;
        };
        if is_same_person {
            let times = check::times(state);
            self.happens(Event::CheckedLive { times, changed });
        } else {
            // Someone else is signed in in this browser. Nothing of this page is theirs.
            self.departs("/dashboard", EndReason::Unknown);
            self.happens(Event::CheckFailed);
        }
    }

    /// What a call has to wait for before it goes out. `None`: nothing.
    fn wait(self) -> Option<oneshot::Receiver<()>> {
        let (decides, decided) = oneshot::channel();
        let waits = self.change(|inner| {
            let waits = inner.machine.gate() == Gate::Wait;
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
        self.happens(Event::RequestWaits);
        Some(decided)
    }

    /// The session, where the server has said that it is live.
    fn live_session(self) -> Option<SessionId> {
        self.change(|inner| (inner.machine.standing() == Standing::Live).then_some(inner.session))?
    }

    fn change<T>(self, change: impl FnOnce(&mut Inner) -> T) -> Option<T> {
        INNER.with(|inner| inner.try_borrow_mut().ok()?.as_mut().map(change))
    }
}

/// A number by which the other tabs know this one.
fn draw_number() -> u32 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "from 0 to the highest"
    )]
    let number = (browser::luck() * f64::from(u32::MAX)) as u32;
    number
}
