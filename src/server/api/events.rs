//! `GET /api/v1/session/events`: a client hears at once what happens to its session.

use std::{
    collections::{HashSet, VecDeque},
    convert::Infallible,
    sync::Arc,
    time::Duration,
};

use axum::{
    extract::{Query, State, rejection::QueryRejection},
    http::{HeaderMap, HeaderName, HeaderValue},
    response::{
        IntoResponse, Response,
        sse::{Event as Message, Sse},
    },
};
use chrono::{DateTime, Utc};
use futures_util::{Stream, stream::unfold};
use rand::Rng as _;
use serde::Deserialize;
use serde_json::json;
use tokio::time::{Instant, sleep_until};
use utoipa::IntoParams;

use super::extract::SignedIn;
use domain::{ids::SessionId, session::EndReason};

use crate::{
    error::AppError,
    server::{
        auth::current_session::CurrentSession,
        http::error_response::{Problem, ProblemBody},
        realtime::hub::{Subscription, is_relevant},
        state::AppState,
        store::{
            events::{self, Event, EventKind},
            sessions,
        },
    },
};

/// A beat is sent so often: proxies close what is silent, a client that is gone is noticed, and a client can tell a stream
/// on which nothing happens from one that is dead.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Milliseconds after which a client whose stream broke off comes back: somewhere in between, so that a server that was
/// restarted is not met by all of them at once.
const RETRY: std::ops::Range<u64> = 500..3000;

/// So many events that a client missed are read at once. All of them are sent: the next page is read when the client has
/// taken the one before.
const PAGE: i64 = 200;

/// Where a client that has heard of something before goes on.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Resume {
    /// The same as `Last-Event-ID`, for a first stream, where a browser sends no header: the `event_number` of
    /// `session_state`, so that nothing since is missed. The header wins where both are there.
    after: Option<i64>,
}

/// What happens to the caller's session, as server-sent events: `session_updated`, `session_ended` with the reason,
/// `sessions_changed`, `organization_switched`. `heartbeat`, every 15 seconds and without an `id:`, says only that the stream
/// is still there: clients may ignore it. `id:` is the event's number; `Last-Event-ID` resumes
/// after it, and so does `?after=`. What is no number there is ignored. The stream closes after `session_ended`, and when
/// the credential that opened it is replaced. Not activity.
#[utoipa::path(get, path = "/session/events", tag = "session", params(
    Resume,
    ("Last-Event-ID" = Option<i64>, Header, description = "The number of the last event that the client heard of."),
), responses(
    (status = 200, description = "The stream.", body = String, content_type = "text/event-stream"),
    (status = 401, description = "`session_ended`", body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn stream(
    State(state): State<AppState>,
    SignedIn(caller): SignedIn,
    headers: HeaderMap,
    query: Result<Query<Resume>, QueryRejection>,
) -> Result<Response, Problem> {
    // First to be told, then to look: an end between the two is in either.
    let subscription = state.hub.subscribe(caller.user.id, caller.id).map_err(|error| {
        tracing::warn!(%error, "a stream was not opened");
        AppError::Busy
    })?;
    let LiveSession { until, number } = match check_session(&state, &caller).await? {
        Ok(live) => live,
        Err(reason) => return Err(AppError::SessionEnded { reason }.into()),
    };
    // The header first: a browser that reconnects sends it with the address of its first stream, whose number is older.
    let after = query.ok().and_then(|Query(resume)| resume.after);
    let resumes_after = last_event_id(&headers)
        .or(after)
        .map(|last| last.max(0))
        .filter(|last| *last < number);
    let stream = EventStream {
        state,
        caller,
        subscription,
        until,
        last_sent: number,
        replay_after: resumes_after,
        replayed: HashSet::new(),
    };
    let mut response = Sse::new(stream.messages()).into_response();
    // nginx would keep the events back until its buffer is full.
    response.headers_mut().insert(
        HeaderName::from_static("x-accel-buffering"),
        HeaderValue::from_static("no"),
    );
    Ok(response)
}

fn last_event_id(headers: &HeaderMap) -> Option<i64> {
    headers.get("last-event-id")?.to_str().ok()?.parse().ok()
}

/// A session that is live, until when, and how far its person's events were then.
struct LiveSession {
    until: DateTime<Utc>,
    number: i64,
}

/// Looks at the session once more, and gives the reason if it is over or has another credential by now: what replaced it may
/// have been told before the subscription.
async fn check_session(
    state: &AppState,
    caller: &CurrentSession,
) -> Result<Result<LiveSession, EndReason>, AppError> {
    let conn = &mut *state.database.connection().await?;
    // The number first: what is committed after it is told.
    let number = events::load_last_number_of_user(conn, caller.user.id).await?;
    let now = state.clock.now();
    if let Some(reason) = sessions::refusal_reason(conn, caller.id, caller.credential, now).await? {
        return Ok(Err(reason));
    }
    let until = sessions::find_live_until(conn, caller.id, now).await?;
    Ok(until
        .map(|until| LiveSession { until, number })
        .ok_or(EndReason::Unknown))
}

/// A client that is being told.
struct EventStream {
    state: AppState,
    caller: Arc<CurrentSession>,
    subscription: Subscription,
    /// When the session runs out, as far as is known.
    until: DateTime<Utc>,
    /// The highest number that the client knows of, once it has what it missed.
    last_sent: i64,
    /// How far the client is in what it missed. `None`: it missed nothing, or has it all.
    replay_after: Option<i64>,
    /// Numbers that were sent again when the stream began, and may have been told meanwhile.
    replayed: HashSet<i64>,
}

/// What a stream says next.
enum NextMessage {
    Event(Event),
    Heartbeat,
    Ended(EndReason),
    Closed,
}

impl EventStream {
    /// A greeting with the number that the client begins at, what it missed, and then what happens. The number is never
    /// ahead of what was sent: a client that is cut off in the middle of it goes on where it was.
    fn messages(self) -> impl Stream<Item = Result<Message, Infallible>> + use<> {
        let retry = Duration::from_millis(rand::rng().random_range(RETRY));
        let greeting = Message::default()
            .retry(retry)
            .id(self.replay_after.unwrap_or(self.last_sent).to_string())
            .comment("welcome");
        let ready = VecDeque::from([greeting]);
        let beat = Instant::now() + HEARTBEAT;
        unfold(Some((self, ready, beat)), async |telling| {
            let (mut stream, mut ready, beat) = telling?;
            while ready.is_empty() && stream.replay_after.is_some() {
                // Where the database is away, the client comes back and goes on where it was.
                ready.extend(stream.load_missed().await.ok()?);
            }
            if let Some(message) = ready.pop_front() {
                return Some((Ok(message), Some((stream, ready, beat))));
            }
            let (said, goes_on) = match stream.next(beat).await {
                NextMessage::Event(event) => {
                    stream.record_close_delay(&event);
                    let goes_on = !matches!(
                        event.kind,
                        EventKind::SessionEnded { .. } | EventKind::CredentialReplaced
                    );
                    (message(&event), goes_on)
                }
                NextMessage::Heartbeat => {
                    // The comment for whoever reads along, the event for scripts, which browsers show no comments.
                    let here = Message::default().comment("here").event("heartbeat").data("{}");
                    return Some((Ok(here), Some((stream, ready, Instant::now() + HEARTBEAT))));
                }
                NextMessage::Ended(reason) => {
                    let number = stream.last_sent.to_string();
                    (ended(stream.caller.id, reason).id(number), false)
                }
                NextMessage::Closed => return None,
            };
            Some((Ok(said), goes_on.then_some((stream, ready, beat))))
        })
    }

    /// The next page of what the client missed; after the last one, a comment with the number that it has come to.
    async fn load_missed(&mut self) -> sqlx::Result<Vec<Message>> {
        let Some(last) = self.replay_after else {
            return Ok(Vec::new());
        };
        let conn = &mut *self.state.database.connection().await?;
        let mut page = events::list_after_for_user(conn, self.caller.user.id, last, PAGE).await?;
        // What has happened since the stream began is told by the hub, which knows what closes a stream.
        page.retain(|event| event.id <= self.last_sent);
        self.replay_after = page.last().map(|event| event.id);
        if self.replay_after.is_none() {
            let number = self.last_sent.to_string();
            return Ok(vec![Message::default().id(number).comment("up to here")]);
        }
        page.retain(|event| is_relevant(event, self.caller.id));
        self.replayed.extend(page.iter().map(|event| event.id));
        Ok(page.iter().map(message).collect())
    }

    async fn next(&mut self, beat: Instant) -> NextMessage {
        loop {
            let left = (self.until - self.state.clock.now()).to_std().unwrap_or_default();
            let event = tokio::select! {
                event = self.subscription.next() => event,
                () = sleep_until(beat.min(Instant::now() + left)) => return self.recheck_session().await,
            };
            match event {
                None => return NextMessage::Closed,
                Some(event) if self.replayed.contains(&event.id) => {}
                Some(event) => {
                    self.last_sent = self.last_sent.max(event.id);
                    return NextMessage::Event(event);
                }
            }
        }
    }

    /// How long after its session's end this stream was told.
    fn record_close_delay(&self, event: &Event) {
        if let EventKind::SessionEnded { .. } = event.kind {
            let now = self.state.clock.now();
            self.state.minutes.stream_closed(event.id, event.at, now);
        }
    }

    /// Nobody tells of time running out until someone looks: the stream does, at each beat and once it may have.
    async fn recheck_session(&mut self) -> NextMessage {
        let now = self.state.clock.now();
        self.state.activity.note(self.caller.id, now, false);
        // Each time, whatever was known: limits may have become shorter.
        match check_session(&self.state, &self.caller).await {
            Ok(Ok(live)) => {
                self.until = live.until;
                NextMessage::Heartbeat
            }
            // The credential was replaced: the session goes on, and its client comes back with the new one.
            Ok(Err(reason)) if reason.is_never_recorded() => NextMessage::Closed,
            Ok(Err(reason)) => NextMessage::Ended(reason),
            // The database is away. Nobody is signed out for that; look again with the next beat.
            Err(_) => {
                self.until = now + HEARTBEAT;
                NextMessage::Heartbeat
            }
        }
    }
}

fn message(event: &Event) -> Message {
    let message = match (event.kind, event.session) {
        (EventKind::SessionEnded { reason }, Some(session)) => ended(session, reason),
        (kind, session) => {
            let data = session.map_or_else(|| json!({}), |session| json!({ "session_id": session }));
            Message::default().event(kind.as_str()).data(data.to_string())
        }
    };
    message.id(event.id.to_string())
}

fn ended(session: SessionId, reason: EndReason) -> Message {
    let data = json!({ "session_id": session, "reason": reason });
    Message::default().event("session_ended").data(data.to_string())
}
