//! What pages load. The framework's code for a resource is compiled anew for each type and each way to load it, so all
//! of them share one, which keeps the browser's part small.

use std::{marker::PhantomData, pin::Pin};

use leptos::{prelude::*, reactive::computed::ScopedFuture};
use serde::{Deserialize, Serialize};

use crate::{
    domain::overview::{ActiveSessions, Overview, Viewer},
    error::AppError,
    server_fns::{list_active_sessions, show_overview, show_viewer, sign_in_notice},
};

/// Why one has to sign in, in words, where there is a reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason(pub Option<String>);

/// Whatever a page loads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Loaded {
    Viewer(Viewer),
    Overview(Overview),
    Devices(ActiveSessions),
    Reason(Reason),
}

type Answer = Result<Loaded, AppError>;
type Work = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// A thing that a page loads. To add one: a variant of [`Loaded`], and this.
pub trait Load: Sized + 'static {
    fn load() -> Work;
    /// `None`: it is something else.
    fn read(loaded: Loaded) -> Option<Self>;
}

/// A thing on its way: loaded with the page on the server, or when the browser comes to the page.
pub struct Loading<T> {
    answer: Resource<Answer>,
    of: PhantomData<fn() -> T>,
}

impl<T> Clone for Loading<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Loading<T> {}

impl<T: Load> Loading<T> {
    pub fn start() -> Self {
        Self {
            answer: resource(T::load),
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

    /// Loads it anew; what came before stays until then.
    pub fn refetch(self) {
        self.answer.refetch();
    }
}

impl Loading<ActiveSessions> {
    /// The last that came: it stays when it fails to refresh. To be made where the first has been waited for.
    pub fn last(self) -> Memo<Option<ActiveSessions>> {
        Memo::new(move |before: Option<&Option<ActiveSessions>>| match self.get() {
            Some(Ok(devices)) => Some(devices),
            _ => before.cloned().flatten(),
        })
    }
}

fn resource(load: fn() -> Work) -> Resource<Answer> {
    Resource::new_blocking(|| (), move |()| load())
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
