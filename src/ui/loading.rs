//! What pages load. The framework's code for a resource is compiled anew for each type and each way to load it, so all
//! of them share one, which keeps the browser's part small.

use std::{marker::PhantomData, pin::Pin};

use leptos::{prelude::*, reactive::computed::ScopedFuture};
use serde::{Deserialize, Serialize};

use super::{browser, components::dynamic::effect, live::keeper::Keeper};
use domain::{
    overview::{ActiveSessions, Overview, Viewer},
    session::EndReason,
};

use crate::{
    error::AppError,
    server_fns::{
        client::in_background, draw_admin, list_active_sessions, show_overview, show_viewer, sign_in_notice,
    },
};

/// Why one has to sign in, in words, where there is a reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason(pub Option<String>);

/// A page that the server drew, as HTML of ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drawn(pub String);

/// Whatever a page loads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Loaded {
    Viewer(Viewer),
    Overview(Overview),
    Devices(ActiveSessions),
    Reason(Reason),
    Drawn(Drawn),
}

type Answer = Result<Loaded, AppError>;
type Work = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// A thing that a page loads. To add one: a variant of [`Loaded`], and this.
pub trait Load: Sized + 'static {
    /// It tells of the person's sessions, and changes with them.
    const IS_LIST: bool = false;
    fn load() -> Work;
    /// `None`: it is something else.
    fn read(loaded: Loaded) -> Option<Self>;
}

/// A thing on its way: loaded with the page on the server, or when the browser comes to the page. Behind sign-in it
/// follows what the keeper says: it is loaded anew, or is gone with the session.
pub struct Loading<T> {
    answer: Resource<Answer>,
    asked: RwSignal<Asked>,
    of: PhantomData<fn() -> T>,
}

/// Which load is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Asked {
    times: u32,
    /// By the page itself: not activity, and what there was stays if it fails.
    in_background: bool,
}

impl<T> Clone for Loading<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Loading<T> {}

impl<T: Load> Loading<T> {
    pub fn start() -> Self {
        let asked = RwSignal::default();
        let answer = resource(asked, T::load);
        if let Some(keeper) = use_context::<Keeper>() {
            follow(keeper, answer, asked, T::IS_LIST);
        }
        Self {
            answer,
            asked,
            of: PhantomData,
        }
    }

    /// Waits for it. Runs anew what waits when it has been loaded anew.
    pub async fn ready(self) -> Result<T, AppError> {
        read(self.answer.await)
    }

    /// What has come, and whatever comes later.
    pub fn get(self) -> Option<Result<T, AppError>> {
        self.answer.get().map(read)
    }
}

impl<T> Loading<T> {
    /// Waits for the first answer only.
    pub async fn settled(self) {
        settled(self.answer).await;
    }

    /// Loads it anew, for the person; what came before stays until then.
    pub fn refetch(self) {
        ask(self.asked, false);
    }

    /// Loads it anew, by the page itself: what there was stays if it fails.
    pub fn refresh(self) {
        ask(self.asked, true);
    }
}

impl Loading<ActiveSessions> {
    /// The last that came: it stays when it fails to refresh, until the session is over. To be made where the first has
    /// been waited for.
    pub fn last(self) -> Memo<Option<ActiveSessions>> {
        Memo::new(move |before: Option<&Option<ActiveSessions>>| match self.get() {
            Some(Ok(devices)) => Some(devices),
            Some(Err(AppError::SessionEnded { .. })) => None,
            _ => before.cloned().flatten(),
        })
    }
}

fn resource(asked: RwSignal<Asked>, load: fn() -> Work) -> Resource<Answer> {
    let last = StoredValue::new(None::<Loaded>);
    let answer = Resource::new_blocking(
        move || asked.get(),
        move |asked| async move {
            if !asked.in_background {
                return load().await;
            }
            match (in_background(load()).await, last.try_get_value().flatten()) {
                // The keeper tells that the portal cannot be reached, or that the session is over.
                (Err(error), Some(last)) if is_kept_at(&error) => Ok(last),
                (answer, _) => answer,
            }
        },
    );
    effect(move || match answer.get() {
        Some(Ok(loaded)) => last.set_value(Some(loaded)),
        Some(Err(AppError::SessionEnded { .. })) => last.set_value(None),
        _ => {}
    });
    answer
}

fn is_kept_at(error: &AppError) -> bool {
    error.is_failure() || matches!(error, AppError::SessionEnded { .. })
}

fn follow(keeper: Keeper, answer: Resource<Answer>, asked: RwSignal<Asked>, is_list: bool) {
    let mut done = None;
    effect(move || {
        let refreshes = keeper.refreshes();
        let wanted = refreshes.all + if is_list { refreshes.sessions } else { 0 };
        if done.replace(wanted).is_some_and(|done| done != wanted) {
            ask(asked, true);
        }
    });
    effect(move || {
        // Or what was on its way when the session ended.
        let has_come = answer.with(|answer| matches!(answer, Some(Ok(_))));
        if keeper.view().is_gone() && has_come {
            let reason = EndReason::Unknown;
            answer.set(Some(Err(AppError::SessionEnded { reason })));
        }
    });
}

fn ask(asked: RwSignal<Asked>, in_background: bool) {
    asked.update(|asked| {
        asked.times += 1;
        asked.in_background = in_background;
    });
}

async fn settled(answer: Resource<Answer>) {
    _ = ScopedFuture::new_untracked(answer.into_future()).await;
}

fn read<T: Load>(answer: Answer) -> Result<T, AppError> {
    answer.and_then(|loaded| T::read(loaded).ok_or(AppError::Internal))
}

impl Load for Viewer {
    fn load() -> Work {
        Box::pin(async { show_viewer().await.map(Loaded::Viewer) })
    }

    fn read(loaded: Loaded) -> Option<Self> {
        match loaded {
            Loaded::Viewer(viewer) => Some(viewer),
            _ => None,
        }
    }
}

impl Load for Overview {
    const IS_LIST: bool = true;

    fn load() -> Work {
        Box::pin(async { show_overview().await.map(Loaded::Overview) })
    }

    fn read(loaded: Loaded) -> Option<Self> {
        match loaded {
            Loaded::Overview(overview) => Some(overview),
            _ => None,
        }
    }
}

impl Load for ActiveSessions {
    const IS_LIST: bool = true;

    fn load() -> Work {
        Box::pin(async { list_active_sessions().await.map(Loaded::Devices) })
    }

    fn read(loaded: Loaded) -> Option<Self> {
        match loaded {
            Loaded::Devices(devices) => Some(devices),
            _ => None,
        }
    }
}

impl Load for Drawn {
    fn load() -> Work {
        // The server draws the page that is asked for, the browser asks for the one that it is at.
        let place = (!cfg!(feature = "ssr")).then(browser::here);
        Box::pin(async { draw_admin(place).await.map(|html| Loaded::Drawn(Drawn(html))) })
    }

    fn read(loaded: Loaded) -> Option<Self> {
        match loaded {
            Loaded::Drawn(drawn) => Some(drawn),
            _ => None,
        }
    }
}

impl Load for Reason {
    fn load() -> Work {
        Box::pin(async { Ok(Loaded::Reason(Reason(sign_in_notice().await?))) })
    }

    fn read(loaded: Loaded) -> Option<Self> {
        match loaded {
            Loaded::Reason(reason) => Some(reason),
            _ => None,
        }
    }
}
