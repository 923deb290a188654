//! Data that pages load. All data shares one resource type, because the framework compiles its code anew for each
//! type, which would enlarge the browser module.

use std::{marker::PhantomData, pin::Pin};

use leptos::{prelude::*, reactive::computed::ScopedFuture};
use serde::{Deserialize, Serialize};

use super::{browser, components::dynamic::effect, live::monitor::SessionMonitor};
use domain::{
    overview::{ActiveSessions, Overview, Viewer},
    session::EndReason,
};

use crate::{
    error::AppError,
    server_fns::{
        client::run_in_background, draw_admin, list_active_sessions, show_overview, show_viewer,
        sign_in_notice,
    },
};

/// Why the user must sign in, if known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignInReason(pub Option<String>);

/// A page rendered by the server, as HTML.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fragment(pub String);

/// The data of a page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PageData {
    Viewer(Viewer),
    Overview(Overview),
    Devices(ActiveSessions),
    SignInReason(SignInReason),
    Fragment(Fragment),
}

type LoadResult = Result<PageData, AppError>;
type LoadFuture = Pin<Box<dyn Future<Output = LoadResult> + Send>>;

/// Data that a page can load. To add one: a variant of [`PageData`] and an implementation.
pub trait LoadData: Sized + 'static {
    /// It tells of the person's sessions, and changes with them.
    const SHOWS_SESSIONS: bool = false;
    fn load() -> LoadFuture;
    /// `None` for the data of another type.
    fn extract(loaded: PageData) -> Option<Self>;
}

/// Page data that is loaded on the server or after a navigation. On a page behind sign-in, the session monitor reloads
/// it, or clears it when the session ends.
pub struct PageResource<T> {
    response: Resource<LoadResult>,
    request: RwSignal<LoadRequest>,
    of: PhantomData<fn() -> T>,
}

/// One request to load the data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct LoadRequest {
    times: u32,
    /// A background request: not activity, and the previous value stays if it fails.
    in_background: bool,
}

impl<T> Clone for PageResource<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for PageResource<T> {}

impl<T: LoadData> PageResource<T> {
    pub fn start() -> Self {
        let request = RwSignal::default();
        let response = resource(request, T::load);
        if let Some(monitor) = use_context::<SessionMonitor>() {
            reload_on_change(monitor, response, request, T::SHOWS_SESSIONS);
        }
        Self {
            response,
            request,
            of: PhantomData,
        }
    }

    /// Waits for the data. Reloading it runs the waiting view again.
    pub async fn wait(self) -> Result<T, AppError> {
        extract(self.response.await)
    }

    /// The current data.
    pub fn get(self) -> Option<Result<T, AppError>> {
        self.response.get().map(extract)
    }
}

impl<T> PageResource<T> {
    /// Waits for the first response only.
    pub async fn wait_first(self) {
        wait_first(self.response).await;
    }

    /// Reloads the data for the user. The previous value stays until then.
    pub fn refetch(self) {
        request_load(self.request, false);
    }

    /// Reloads the data in the background. The previous value stays if this fails.
    pub fn refresh(self) {
        request_load(self.request, true);
    }
}

impl PageResource<ActiveSessions> {
    /// The last list that was loaded. It stays if a refresh fails, until the session ends. Create it after the first
    /// response.
    pub fn last(self) -> Memo<Option<ActiveSessions>> {
        Memo::new(move |before: Option<&Option<ActiveSessions>>| match self.get() {
            Some(Ok(devices)) => Some(devices),
            Some(Err(AppError::SessionEnded { .. })) => None,
            _ => before.cloned().flatten(),
        })
    }
}

fn resource(request: RwSignal<LoadRequest>, load: fn() -> LoadFuture) -> Resource<LoadResult> {
    let last = StoredValue::new(None::<PageData>);
    let response = Resource::new_blocking(
        move || request.get(),
        move |request| async move {
            if !request.in_background {
                return load().await;
            }
            match (run_in_background(load()).await, last.try_get_value().flatten()) {
                // The session monitor shows that the portal is unreachable, or that the session ended.
                (Err(error), Some(last)) if is_last_value_kept(&error) => Ok(last),
                (response, _) => response,
            }
        },
    );
    effect(move || match response.get() {
        Some(Ok(loaded)) => last.set_value(Some(loaded)),
        Some(Err(AppError::SessionEnded { .. })) => last.set_value(None),
        _ => {}
    });
    response
}

fn is_last_value_kept(error: &AppError) -> bool {
    error.is_server_error() || matches!(error, AppError::SessionEnded { .. })
}

fn reload_on_change(
    monitor: SessionMonitor,
    response: Resource<LoadResult>,
    request: RwSignal<LoadRequest>,
    shows_sessions: bool,
) {
    let mut done = None;
    effect(move || {
        let refreshes = monitor.refreshes();
        let wanted = refreshes.all + if shows_sessions { refreshes.sessions } else { 0 };
        if done.replace(wanted).is_some_and(|done| done != wanted) {
            request_load(request, true);
        }
    });
    effect(move || {
        // Also for a response that was in flight when the session ended.
        let has_come = response.with(|response| matches!(response, Some(Ok(_))));
        if monitor.view().is_content_hidden() && has_come {
            let reason = EndReason::Unknown;
            response.set(Some(Err(AppError::SessionEnded { reason })));
        }
    });
}

fn request_load(request: RwSignal<LoadRequest>, in_background: bool) {
    request.update(|request| {
        request.times += 1;
        request.in_background = in_background;
    });
}

async fn wait_first(response: Resource<LoadResult>) {
    _ = ScopedFuture::new_untracked(response.into_future()).await;
}

fn extract<T: LoadData>(response: LoadResult) -> Result<T, AppError> {
    response.and_then(|loaded| T::extract(loaded).ok_or(AppError::Internal))
}

impl LoadData for Viewer {
    fn load() -> LoadFuture {
        Box::pin(async { show_viewer().await.map(PageData::Viewer) })
    }

    fn extract(loaded: PageData) -> Option<Self> {
        match loaded {
            PageData::Viewer(viewer) => Some(viewer),
            _ => None,
        }
    }
}

impl LoadData for Overview {
    const SHOWS_SESSIONS: bool = true;

    fn load() -> LoadFuture {
        Box::pin(async { show_overview().await.map(PageData::Overview) })
    }

    fn extract(loaded: PageData) -> Option<Self> {
        match loaded {
            PageData::Overview(overview) => Some(overview),
            _ => None,
        }
    }
}

impl LoadData for ActiveSessions {
    const SHOWS_SESSIONS: bool = true;

    fn load() -> LoadFuture {
        Box::pin(async { list_active_sessions().await.map(PageData::Devices) })
    }

    fn extract(loaded: PageData) -> Option<Self> {
        match loaded {
            PageData::Devices(devices) => Some(devices),
            _ => None,
        }
    }
}

impl LoadData for Fragment {
    fn load() -> LoadFuture {
        // The server renders the page of the request; the browser requests the page of its URL.
        let place = (!cfg!(feature = "ssr")).then(browser::current_path);
        Box::pin(async {
            draw_admin(place)
                .await
                .map(|html| PageData::Fragment(Fragment(html)))
        })
    }

    fn extract(loaded: PageData) -> Option<Self> {
        match loaded {
            PageData::Fragment(drawn) => Some(drawn),
            _ => None,
        }
    }
}

impl LoadData for SignInReason {
    fn load() -> LoadFuture {
        Box::pin(async { Ok(PageData::SignInReason(SignInReason(sign_in_notice().await?))) })
    }

    fn extract(loaded: PageData) -> Option<Self> {
        match loaded {
            PageData::SignInReason(reason) => Some(reason),
            _ => None,
        }
    }
}
