//! `GET /api/v1/session/events`: notifies a client of changes to its session at once.

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

/// Interval of heartbeats. They keep proxies from closing the connection, detect clients that are gone, and show the client
/// that the stream works.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Milliseconds until a client reconnects. Random, so that clients do not reconnect to a restarted server all at once.
const RETRY: std::ops::Range<u64> = 500..3000;

/// Missed events per query. All are sent: the next page is loaded when the client has received the previous one.
const PAGE: i64 = 200;

/// The position at which a client resumes.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Resume {
    /// As `Last-Event-ID`, for the first stream, for which a browser sends no header: the `event_number` of `session_state`. The
    /// header takes precedence.
    after: Option<i64>,
}

/// Sends the events of the caller's session as server-sent events: `session_updated`, `session_ended` with the reason,
/// `sessions_changed`, `organization_switched`. A `heartbeat` without `id:` follows every 15 seconds; clients may ignore it.
/// `id:` is the event number. `Last-Event-ID` or `?after=` resumes after it; other values than numbers are ignored. The
/// stream closes after `session_ended`, and when its credential is replaced. Not activity.
#[utoipa::path(get, path = "/session/events", tag = "session", params(
    Resume,
    ("Last-Event-ID" = Option<i64>, Header, description = "The number of the last event that the client received."),
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
    // Subscribe, then check: an end between the two appears in at least one.
    let subscription = state.hub.subscribe(caller.user.id, caller.id).map_err(|error| {
        tracing::warn!(%error, "event stream refused");
        AppError::Busy
    })?;
    let LiveSession { expires_at, number } = match check_session(&state, &caller).await? {
        Ok(live) => live,
        Err(reason) => return Err(AppError::SessionEnded { reason }.into()),
    };
    // The header first: a reconnecting browser sends it with the address of its first stream, which has an older number.
    let after = query.ok().and_then(|Query(resume)| resume.after);
    let resumes_after = last_event_id(&headers)
        .or(after)
        .map(|last| last.max(0))
        .filter(|last| *last < number);
    let stream = EventStream {
        state,
        caller,
        subscription,
        expires_at,
        last_sent: number,
        replay_after: resumes_after,
        replayed: HashSet::new(),
    };
    let mut response = Sse::new(stream.messages()).into_response();
    // nginx would buffer the events.
    response.headers_mut().insert(
        HeaderName::from_static("x-accel-buffering"),
        HeaderValue::from_static("no"),
    );
    Ok(response)
}

fn last_event_id(headers: &HeaderMap) -> Option<i64> {
    headers.get("last-event-id")?.to_str().ok()?.parse().ok()
}

/// A live session at the time of a check.
struct LiveSession {
    expires_at: DateTime<Utc>,
    number: i64,
}

/// Checks session and credential. The inner error is the end reason, also for a replaced credential: the event about the
/// replacement may be from before the subscription.
async fn check_session(
    state: &AppState,
    caller: &CurrentSession,
) -> Result<Result<LiveSession, EndReason>, AppError> {
    let conn = &mut *state.database.connection().await?;
    // Read the number first: later commits are delivered by the hub.
    let number = events::load_last_number_of_user(conn, caller.user.id).await?;
    let now = state.clock.now();
    if let Some(reason) = sessions::refusal_reason(conn, caller.id, caller.credential, now).await? {
        return Ok(Err(reason));
    }
    let expires_at = sessions::find_live_until(conn, caller.id, now).await?;
    Ok(expires_at
        .map(|expires_at| LiveSession { expires_at, number })
        .ok_or(EndReason::Unknown))
}

/// The event stream of one client.
struct EventStream {
    state: AppState,
    caller: Arc<CurrentSession>,
    subscription: Subscription,
    /// When the session expires, as far as known.
    expires_at: DateTime<Utc>,
    /// The highest event number that the client knows, once it has received the missed events.
    last_sent: i64,
    /// The last missed event that was sent. `None`: nothing left to replay.
    replay_after: Option<i64>,
    /// Replayed events, which the hub may also deliver.
    replayed: HashSet<i64>,
}

/// The next message of a stream.
enum NextMessage {
    Event(Event),
    Heartbeat,
    Ended(EndReason),
    Closed,
}

impl EventStream {
    /// A greeting with the client's position, then the missed events, then new ones. The position never exceeds what was sent,
    /// so that a disconnected client resumes correctly.
    fn messages(self) -> impl Stream<Item = Result<Message, Infallible>> + use<> {
        let retry = Duration::from_millis(rand::rng().random_range(RETRY));
        let greeting = Message::default()
            .retry(retry)
            .id(self.replay_after.unwrap_or(self.last_sent).to_string())
            .comment("welcome");
        let ready = VecDeque::from([greeting]);
        let beat = Instant::now() + HEARTBEAT;
        unfold(Some((self, ready, beat)), async |stream_state| {
            let (mut stream, mut ready, beat) = stream_state?;
            while ready.is_empty() && stream.replay_after.is_some() {
                // On a database error the stream closes. The client reconnects and resumes.
                ready.extend(stream.load_missed().await.ok()?);
            }
            if let Some(message) = ready.pop_front() {
                return Some((Ok(message), Some((stream, ready, beat))));
            }
            let (message, is_open) = match stream.next(beat).await {
                NextMessage::Event(event) => {
                    stream.record_close_delay(&event);
                    let is_open = !matches!(
                        event.kind,
                        EventKind::SessionEnded { .. } | EventKind::CredentialReplaced
                    );
                    (message(&event), is_open)
                }
                NextMessage::Heartbeat => {
                    // The comment is for readers, the event for scripts, since browsers hide comments from scripts.
                    let heartbeat = Message::default().comment("here").event("heartbeat").data("{}");
                    return Some((Ok(heartbeat), Some((stream, ready, Instant::now() + HEARTBEAT))));
                }
                NextMessage::Ended(reason) => {
                    let number = stream.last_sent.to_string();
                    (ended(stream.caller.id, reason).id(number), false)
                }
                NextMessage::Closed => return None,
            };
            Some((Ok(message), is_open.then_some((stream, ready, beat))))
        })
    }

    /// The next page of missed events. After the last page, a comment with the reached number.
    async fn load_missed(&mut self) -> sqlx::Result<Vec<Message>> {
        let Some(last) = self.replay_after else {
            return Ok(Vec::new());
        };
        let conn = &mut *self.state.database.connection().await?;
        let mut page = events::list_after_for_user(conn, self.caller.user.id, last, PAGE).await?;
        // The hub delivers events since the start of the stream, and closes the stream if necessary.
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
            let left = (self.expires_at - self.state.clock.now())
                .to_std()
                .unwrap_or_default();
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

    /// Measures the time from the end of the session to this event.
    fn record_close_delay(&self, event: &Event) {
        if let EventKind::SessionEnded { .. } = event.kind {
            let now = self.state.clock.now();
            self.state.minutes.stream_closed(event.id, event.at, now);
        }
    }

    /// Checks for expiry, which causes no event by itself: at each heartbeat and at the expected time.
    async fn recheck_session(&mut self) -> NextMessage {
        let now = self.state.clock.now();
        self.state.activity.note(self.caller.id, now, false);
        // Each time, since limits may have become shorter.
        match check_session(&self.state, &self.caller).await {
            Ok(Ok(live)) => {
                self.expires_at = live.expires_at;
                NextMessage::Heartbeat
            }
            // The credential was replaced. The client reconnects with the new one.
            Ok(Err(reason)) if !reason.is_recorded() => NextMessage::Closed,
            Ok(Err(reason)) => NextMessage::Ended(reason),
            // Database error: check again with the next heartbeat.
            Err(_) => {
                self.expires_at = now + HEARTBEAT;
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
