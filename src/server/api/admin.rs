//! `/api/v1/admin`: administrators review the sessions of their people, end them, and read the audit log.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{
    Json,
    body::{Body as HttpBody, Bytes},
    extract::{RawQuery, State},
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use futures_util::stream;
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{Semaphore, mpsc},
    time::timeout,
};
use utoipa::{IntoParams, ToSchema};

use super::extract::{JsonBody, RequestClient, SignedIn};
use domain::{
    admin::{AdminSession, RevokeTarget},
    audit::AuditFilter,
    ids::{SessionId, UserId},
    query::{find_query_error, query_param},
    session_filter::{InvalidFilter, SessionFilter, SessionSort},
};

use crate::{
    error::AppError,
    server::{
        auth::current_session::CurrentSession,
        http::{
            catch_panic::catch_task_panic,
            error_response::{Problem, ProblemBody},
        },
        services::{
            admin as services,
            admin::{
                Reach,
                revoke::{self, Wish},
                sessions,
            },
            audit_export, reauthentication,
        },
        state::AppState,
        store::cursor::Cursor,
        telemetry::metrics::Metrics,
    },
};

impl std::convert::From<InvalidFilter> for AppError {
    fn from(unknown: InvalidFilter) -> Self {
        AppError::invalid_input(unknown.field, unknown.problem)
    }
}

/// What narrows the list, and which page of it. An unknown name is refused: a misspelt filter must not list everything.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes the query, which is read by name")]
pub struct ListQuery {
    /// Part of a person's name or email or of a desktop's name; an IP address or network; or a session's id.
    q: Option<String>,
    /// The id of a person.
    user: Option<String>,
    /// `browser` or `desktop`.
    kind: Option<String>,
    /// A role, as `broker`.
    role: Option<String>,
    /// `live` (the default), `ended` or `all`.
    state: Option<String>,
    /// Why it ended, as `revoked`.
    reason: Option<String>,
    /// When it began: `within_hour`, `within_day`, `within_week`, `over_day`, `over_week`.
    age: Option<String>,
    /// `raised`, `unanswered` or `none`.
    suspicion: Option<String>,
    /// `last_active` (the default), `began` or `person`.
    sort: Option<String>,
    /// `next` of the page before.
    after: Option<String>,
    /// Rows of a page, 1 to 200; 50 if not given.
    limit: Option<u16>,
}

/// A page of the list.
#[derive(Serialize, ToSchema)]
pub struct AdminSessionList {
    sessions: Vec<AdminSession>,
    /// Rows of all pages together.
    total: i64,
    /// Send it as `after` for the next page; `null` on the last.
    next: Option<String>,
}

/// The query, read; only these names may be in it.
struct Asked {
    filter: SessionFilter,
    sort: SessionSort,
    after: Option<Cursor>,
    limit: u16,
}

impl Asked {
    fn read(query: Option<&str>) -> Result<Self, AppError> {
        let query = query.unwrap_or_default();
        require_known_fields(query, &SessionFilter::FIELDS, &["sort", "after", "limit"])?;
        let get = |name: &str| query_param(query, name);
        let sort = SessionSort::parse(get("sort").as_deref())?;
        let after = match get("after").filter(|after| !after.is_empty()) {
            None => None,
            Some(after) => Some(Cursor::read(&after, sort).ok_or_else(|| {
                AppError::invalid_input("after", "Give `next` of the page before, in the same order.")
            })?),
        };
        let limit = parse_limit(get("limit").filter(|limit| !limit.is_empty()))?;
        Ok(Self {
            filter: SessionFilter::parse(get)?,
            sort,
            after,
            limit,
        })
    }
}

fn parse_limit(text: Option<String>) -> Result<u16, AppError> {
    let Some(text) = text else { return Ok(50) };
    let limit = text
        .parse()
        .ok()
        .filter(|limit| (1..=sessions::MAX_PAGE).contains(limit));
    limit.ok_or_else(|| AppError::invalid_input("limit", format!("Give 1 to {}.", sessions::MAX_PAGE)))
}

/// Sessions of the people of the caller's organization (a system administrator: of everyone) that the filter lists.
#[utoipa::path(get, path = "/admin/sessions", tag = "admin", params(ListQuery), responses(
    (status = 200, description = "A page of the list, with the count of all of it.", body = AdminSessionList),
    (status = 401, description = "`session_ended`", body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "`forbidden`: administrators only", body = ProblemBody,
        content_type = "application/problem+json"),
    (status = 422, description = "`invalid_input`: a filter that does not exist", body = ProblemBody,
        content_type = "application/problem+json"),
))]
pub async fn list_sessions(
    State(state): State<AppState>,
    SignedIn(caller): SignedIn,
    RequestClient(client): RequestClient,
    RawQuery(query): RawQuery,
) -> Result<Json<AdminSessionList>, Problem> {
    let reach = Reach::require(&state, &caller, &client).await?;
    let asked = Asked::read(query.as_deref())?;
    if let Some(user) = asked.filter.user {
        reach.record_if_foreign(&state, &caller, &client, user).await?;
    }
    let page = sessions::list(
        &state,
        &caller,
        reach,
        &asked.filter,
        asked.sort,
        asked.after.as_ref(),
        asked.limit,
    )
    .await?;
    Ok(Json(AdminSessionList {
        sessions: page.sessions,
        total: page.total,
        next: page.next.map(|next| next.to_text()),
    }))
}

/// Everything that the filter lists, as comma-separated values (RFC 4180). `after` and `limit` are of no account.
#[utoipa::path(get, path = "/admin/sessions.csv", tag = "admin", params(ListQuery), responses(
    (status = 200, description = "The whole list, UTF-8 with a byte order mark, every field in quotes. An apostrophe \
        stands before what a spreadsheet would take for a formula.", body = String, content_type = "text/csv"),
    (status = 401, description = "`session_ended`", body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "`forbidden`: administrators only", body = ProblemBody,
        content_type = "application/problem+json"),
    (status = 422, description = "`invalid_input`: a filter that does not exist", body = ProblemBody,
        content_type = "application/problem+json"),
    (status = 503, description = "`busy` with `Retry-After`: others are being written; `unavailable`",
        body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn export_sessions(
    State(state): State<AppState>,
    SignedIn(caller): SignedIn,
    RequestClient(client): RequestClient,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let reach = Reach::require(&state, &caller, &client).await?;
    let asked = Asked::read(query.as_deref())?;
    if let Some(user) = asked.filter.user {
        reach.record_if_foreign(&state, &caller, &client, user).await?;
    }
    sessions::record_export(&state, &caller, reach, &asked.filter, &client).await?;
    let name = format!("sessions-{}.csv", state.clock.now().format("%Y-%m-%d"));
    let metrics = state.metrics.clone();
    let body = stream_export(metrics, move |out| async move {
        out.write(sessions::csv_head()).await;
        let write = |lines| {
            let out = out.clone();
            async move { out.write(lines).await }
        };
        sessions::export(&state, &caller, reach, &asked.filter, asked.sort, write).await
    })?;
    Ok(file_response("text/csv; charset=utf-8", &name, body))
}

/// Exports at once on this server: each keeps the database busy. More have to wait.
static EXPORTS: Semaphore = Semaphore::const_new(4);

/// How long whoever reads may rest. Longer, and a stopping server would have to wait.
const READER_TIMEOUT: Duration = Duration::from_secs(5);

/// Where an export goes to.
pub struct ExportSink(mpsc::Sender<Result<Bytes, std::io::Error>>);

impl ExportSink {
    /// False: nobody reads any more.
    async fn write(&self, lines: String) -> bool {
        timeout(READER_TIMEOUT, self.0.send(Ok(lines.into())))
            .await
            .is_ok_and(|sent| sent.is_ok())
    }
}

/// A body that is written while it is sent. What goes wrong cuts it off, so that nobody takes half a list for the whole.
///
/// # Errors
/// [`AppError::Busy`] while too many others are written.
fn stream_export<F>(
    metrics: Arc<Metrics>,
    write: impl FnOnce(Arc<ExportSink>) -> F,
) -> Result<HttpBody, AppError>
where
    F: Future<Output = Result<(), AppError>> + Send + 'static,
{
    let place = EXPORTS.try_acquire().map_err(|_| AppError::Busy)?;
    let (out, lines) = mpsc::channel(2);
    let work = write(Arc::new(ExportSink(out.clone())));
    tokio::spawn(async move {
        let _place = place;
        let written = catch_task_panic(&metrics, work)
            .await
            .unwrap_or(Err(AppError::Internal));
        if let Err(error) = written {
            tracing::warn!(%error, "an export was cut off");
            let cut = std::io::Error::other("the export was cut off");
            _ = timeout(READER_TIMEOUT, out.send(Err(cut))).await;
        }
    });
    Ok(HttpBody::from_stream(stream::unfold(
        lines,
        |mut lines| async move { lines.recv().await.map(|line| (line, lines)) },
    )))
}

/// An answer that a browser keeps as a file. `name` is ours.
fn file_response(kind: &'static str, name: &str, body: HttpBody) -> Response {
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(disposition) = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")) {
        headers.insert(header::CONTENT_DISPOSITION, disposition);
    }
    response
}

/// What narrows the audit log, and which page of it. An unknown name is refused.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes the query, which is read by name")]
pub struct AuditQuery {
    /// To whom: part of a name or an email, or an id.
    person: Option<String>,
    /// By whom, in the same way.
    actor: Option<String>,
    /// What, as `session_ended`.
    kind: Option<String>,
    /// From this day (UTC) or time (RFC 3339, as the rows have it) on.
    since: Option<String>,
    /// Before this time; until a day takes in that day. Not earlier than `since`.
    until: Option<String>,
    /// An IP address or a network.
    address: Option<String>,
    /// `next` of the page before.
    after: Option<i64>,
    /// Rows of a page, 1 to 200; 50 if not given.
    limit: Option<u16>,
}

/// A page of the audit log, newest first.
#[derive(Serialize, ToSchema)]
pub struct AuditList {
    /// Rows, as in the export.
    #[schema(value_type = Vec<audit_export::AuditRow>)]
    events: Vec<serde_json::Value>,
    /// Send it as `after` for the next page; `null` on the last.
    next: Option<i64>,
}

/// # Errors
/// [`AppError::InvalidInput`] for a query that is no filter, with what else may stand beside one.
fn require_known_fields(query: &str, fields: &[&str], others: &[&str]) -> Result<(), AppError> {
    find_query_error(query, fields, others).map_or(Ok(()), |error| {
        Err(AppError::invalid_input("query", error.to_string()))
    })
}

fn audit_filter(query: Option<&str>) -> Result<AuditFilter, AppError> {
    let query = query.unwrap_or_default();
    require_known_fields(query, &AuditFilter::FIELDS, &["after", "limit"])?;
    Ok(AuditFilter::parse(|name| query_param(query, name))?)
}

/// What was done to the people of the caller's organization, and what they did; for a system administrator all of it.
#[utoipa::path(get, path = "/admin/audit", tag = "admin", params(AuditQuery), responses(
    (status = 200, description = "A page of the log.", body = AuditList),
    (status = 401, description = "`session_ended`", body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "`forbidden`: administrators only", body = ProblemBody,
        content_type = "application/problem+json"),
    (status = 422, description = "`invalid_input`: a filter that does not exist", body = ProblemBody,
        content_type = "application/problem+json"),
))]
pub async fn list_audit(
    State(state): State<AppState>,
    SignedIn(caller): SignedIn,
    RequestClient(client): RequestClient,
    RawQuery(query): RawQuery,
) -> Result<Json<AuditList>, Problem> {
    let reach = Reach::require(&state, &caller, &client).await?;
    let filter = audit_filter(query.as_deref())?;
    let get =
        |name: &str| query_param(query.as_deref().unwrap_or_default(), name).filter(|text| !text.is_empty());
    let after = match get("after") {
        None => None,
        Some(after) => Some(
            after
                .parse()
                .map_err(|_| AppError::invalid_input("after", "Give `next` of the page before."))?,
        ),
    };
    let limit = parse_limit(get("limit"))?;
    let page = services::audit_log::list(&state, reach, &filter, after, limit).await?;
    let read = |row| Ok(serde_json::from_str(&audit_export::to_json_line(row)?)?);
    let events: std::io::Result<_> = page.rows.iter().map(read).collect();
    let events = events.map_err(|error| {
        tracing::error!(%error, "a row of the audit log cannot be written");
        AppError::Internal
    })?;
    Ok(Json(AuditList {
        events,
        next: page.next,
    }))
}

/// Every row that the filter lists, oldest first, one JSON object a line.
#[utoipa::path(get, path = "/admin/audit.jsonl", tag = "admin", params(AuditQuery), responses(
    (status = 200, description = "The rows.", body = String, content_type = "application/jsonl"),
    (status = 401, description = "`session_ended`", body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "`forbidden`: administrators only", body = ProblemBody,
        content_type = "application/problem+json"),
    (status = 422, description = "`invalid_input`: a filter that does not exist", body = ProblemBody,
        content_type = "application/problem+json"),
    (status = 503, description = "`busy` with `Retry-After`: others are being written; `unavailable`",
        body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn export_audit(
    State(state): State<AppState>,
    SignedIn(caller): SignedIn,
    RequestClient(client): RequestClient,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let reach = Reach::require(&state, &caller, &client).await?;
    let filter = audit_filter(query.as_deref())?;
    services::audit_log::record_export(&state, &caller, reach, &filter, &client).await?;
    let name = format!("audit-{}.jsonl", state.clock.now().format("%Y-%m-%d"));
    let metrics = state.metrics.clone();
    let body = stream_export(metrics, move |out| async move {
        let write = |lines| {
            let out = out.clone();
            async move { out.write(lines).await }
        };
        services::audit_log::export(&state, &caller, reach, &filter, write).await
    })?;
    Ok(file_response("application/jsonl", &name, body))
}

/// Which sessions to end: exactly one of `filter`, `ids` and `user_id`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RevokeBody {
    /// The fields of the list's query, without order and page. At least one, each with a value; `state` = `live` alone
    /// names every live session within reach.
    filter: Option<BTreeMap<String, String>>,
    ids: Option<Vec<SessionId>>,
    user_id: Option<UserId>,
    /// What the people read, at most 200 characters.
    reason: Option<String>,
    /// With `filter`: sessions that began later stay. Send back what the first answer says. An RFC 3339 time is taken
    /// as well.
    begun_by: Option<String>,
    /// The caller's own session too, where it is among them. Otherwise it stays.
    #[serde(default)]
    own_too: bool,
}

/// How far it has come.
#[derive(Serialize, ToSchema)]
pub struct RevokeProgress {
    /// Sessions that this request ended.
    ended: usize,
    /// Sessions that are left of what was asked for: send the same again, with `begun_by`.
    left: usize,
    begun_by: String,
}

/// Ends exactly what the same filter lists of what is live. Many take more than one request.
#[utoipa::path(post, path = "/admin/sessions/revoke", tag = "admin", request_body = RevokeBody, responses(
    (status = 200, description = "Ended: none of their credentials is accepted any more, on any node.", body = RevokeProgress),
    (status = 401, description = "`session_ended`", body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "`forbidden`: administrators only; `reauth_required`: a fresh password check is needed",
        body = ProblemBody, content_type = "application/problem+json"),
    (status = 404, description = "`not_found`: a person out of reach", body = ProblemBody,
        content_type = "application/problem+json"),
    (status = 422, description = "`invalid_input`: not exactly one of the three, a filter that is empty or does not exist, \
        or no ids",
        body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn revoke(
    State(state): State<AppState>,
    SignedIn(caller): SignedIn,
    RequestClient(client): RequestClient,
    JsonBody(body): JsonBody<RevokeBody>,
) -> Result<Json<RevokeProgress>, Problem> {
    let reach = Reach::require(&state, &caller, &client).await?;
    let wish = wish(&state, &caller, body).await?;
    _ = reauthentication::require_recent_check(&state, &caller, None, &client).await?;
    let ended = revoke::end(&state, &caller, reach, &wish, &client).await?;
    Ok(Json(RevokeProgress {
        ended: ended.ended,
        left: ended.left,
        begun_by: wish.until.to_string(),
    }))
}

async fn wish(state: &AppState, caller: &CurrentSession, body: RevokeBody) -> Result<Wish, AppError> {
    let which = match (body.filter, body.ids, body.user_id) {
        (Some(fields), None, None) => {
            if let Some(unknown) = fields
                .keys()
                .find(|name| !SessionFilter::FIELDS.contains(&name.as_str()))
            {
                tracing::debug!(unknown, caller = %caller.id, "a filter that does not exist");
                return Err(AppError::invalid_input(
                    "filter",
                    "There is a name in it that is no filter.",
                ));
            }
            RevokeTarget::Filter(SessionFilter::parse_for_revocation(|name| {
                fields.get(name).cloned()
            })?)
        }
        (None, Some(ids), None) if ids.len() <= 1000 => RevokeTarget::Sessions(ids),
        (None, Some(_), None) => return Err(AppError::invalid_input("ids", "Send at most 1,000 ids.")),
        (None, None, Some(user)) => RevokeTarget::AllOfUser(user),
        _ => {
            return Err(AppError::invalid_input(
                "body",
                "Send exactly one of filter, ids and user_id.",
            ));
        }
    };
    Ok(Wish {
        which,
        until: match body.begun_by {
            None => revoke::current_cutoff(state).await?,
            Some(text) => text
                .parse()
                .map_err(|_| AppError::invalid_input("begun_by", "Send what the first answer says."))?,
        },
        note: revoke::note(body.reason.as_deref().unwrap_or_default())?,
        own_too: body.own_too,
    })
}
