//! `/api/v1/admin`: administrators list and revoke sessions and read the audit log.

use std::{sync::Arc, time::Duration};

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
use utoipa::{
    ToSchema,
    openapi::{Object, Type, schema::SchemaType},
};

use super::extract::{JsonBody, RequestClient, SignedIn};
use domain::{
    admin::{AdminSession, RevokeTarget},
    filter::Filter,
    ids::{SessionId, UserId},
    query::QueryFields,
    session_filter::SessionFilter,
};

use crate::{
    error::AppError,
    server::{
        http::{
            catch_panic::catch_task_panic,
            error_response::{Problem, ProblemBody},
        },
        services::{
            admin::{
                AdminRequest,
                audit_log::{self, AuditQuery},
                query::QuerySource,
                revoke::{self, RevokeRequest},
                sessions::{self, SessionsQuery},
            },
            audit_export, reauthentication,
        },
        state::AppState,
        telemetry::metrics::Metrics,
    },
};

/// A page of the list.
#[derive(Serialize, ToSchema)]
pub struct AdminSessionList {
    sessions: Vec<AdminSession>,
    /// Rows on all pages.
    total: i64,
    /// Send it as `after` for the next page. `null` on the last page.
    next: Option<String>,
}

/// Lists the sessions of users in the caller's organization, or of all users for a system administrator.
#[utoipa::path(get, path = "/admin/sessions", tag = "admin", params(SessionsQuery), responses(
    (status = 200, description = "A page of the list, with the count of all rows.", body = AdminSessionList),
    (status = 401, description = "`session_ended`", body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "`forbidden`: administrators only", body = ProblemBody,
        content_type = "application/problem+json"),
    (status = 422, description = "`invalid_input`: an unknown filter", body = ProblemBody,
        content_type = "application/problem+json"),
))]
pub async fn list_sessions(
    State(state): State<AppState>,
    SignedIn(caller): SignedIn,
    RequestClient(client): RequestClient,
    RawQuery(query): RawQuery,
) -> Result<Json<AdminSessionList>, Problem> {
    let admin = AdminRequest::authorize(state, caller, client).await?;
    let query = SessionsQuery::parse(query.as_deref().unwrap_or_default(), QuerySource::Api)
        .map_err(AppError::from)?;
    if let Some(user) = query.filter.user {
        admin.record_user_out_of_scope(user).await?;
    }
    let page = sessions::list(&admin, &query).await?;
    Ok(Json(AdminSessionList {
        sessions: page.sessions,
        total: page.total,
        next: page.next.map(|next| next.to_string()),
    }))
}

/// Exports all sessions that the filter selects as CSV (RFC 4180). Ignores `after` and `limit`.
#[utoipa::path(get, path = "/admin/sessions.csv", tag = "admin", params(SessionsQuery), responses(
    (status = 200, description = "The whole list, UTF-8 with a byte order mark, every field in quotes. Values that a spreadsheet \
        would interpret as a formula begin with an apostrophe.", body = String, content_type = "text/csv"),
    (status = 401, description = "`session_ended`", body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "`forbidden`: administrators only", body = ProblemBody,
        content_type = "application/problem+json"),
    (status = 422, description = "`invalid_input`: an unknown filter", body = ProblemBody,
        content_type = "application/problem+json"),
    (status = 503, description = "`busy` with `Retry-After`: too many exports at once; `unavailable`",
        body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn export_sessions(
    State(state): State<AppState>,
    SignedIn(caller): SignedIn,
    RequestClient(client): RequestClient,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let admin = AdminRequest::authorize(state, caller, client).await?;
    let query = SessionsQuery::parse(query.as_deref().unwrap_or_default(), QuerySource::Api)
        .map_err(AppError::from)?;
    if let Some(user) = query.filter.user {
        admin.record_user_out_of_scope(user).await?;
    }
    sessions::record_export(&admin, &query.filter).await?;
    let name = format!("sessions-{}.csv", admin.state.clock.now().format("%Y-%m-%d"));
    let metrics = admin.state.metrics.clone();
    let body = stream_export(metrics, move |out| async move {
        out.write(sessions::csv_head()).await;
        let write = |lines| {
            let out = out.clone();
            async move { out.write(lines).await }
        };
        sessions::export(&admin, &query, write).await
    })?;
    Ok(file_response("text/csv; charset=utf-8", &name, body))
}

/// Concurrent exports on this server. Each keeps the database busy.
static EXPORTS: Semaphore = Semaphore::const_new(4);

/// How long a reader may pause. A longer pause would delay the stop of the server.
const READER_TIMEOUT: Duration = Duration::from_secs(5);

/// Receives the lines of an export.
pub struct ExportSink(mpsc::Sender<Result<Bytes, std::io::Error>>);

impl ExportSink {
    /// False: the client has disconnected.
    async fn write(&self, lines: String) -> bool {
        timeout(READER_TIMEOUT, self.0.send(Ok(lines.into())))
            .await
            .is_ok_and(|sent| sent.is_ok())
    }
}

/// A body that is sent while it is produced. An error aborts it, so that no client mistakes a partial export for a complete
/// one.
///
/// # Errors
/// [`AppError::Busy`] at the limit of concurrent exports.
fn stream_export<F>(
    metrics: Arc<Metrics>,
    write: impl FnOnce(Arc<ExportSink>) -> F,
) -> Result<HttpBody, AppError>
where
    F: Future<Output = Result<(), AppError>> + Send + 'static,
{
    let permit = EXPORTS.try_acquire().map_err(|_| AppError::Busy)?;
    let (out, lines) = mpsc::channel(2);
    let work = write(Arc::new(ExportSink(out.clone())));
    tokio::spawn(async move {
        let _permit = permit;
        let written = catch_task_panic(&metrics, work)
            .await
            .unwrap_or(Err(AppError::Internal));
        if let Err(error) = written {
            tracing::warn!(%error, "export aborted");
            let cut = std::io::Error::other("export aborted");
            _ = timeout(READER_TIMEOUT, out.send(Err(cut))).await;
        }
    });
    Ok(HttpBody::from_stream(stream::unfold(
        lines,
        |mut lines| async move { lines.recv().await.map(|line| (line, lines)) },
    )))
}

/// A response that browsers save as a file. `name` must not come from a client.
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

/// A page of the audit log, newest first.
#[derive(Serialize, ToSchema)]
pub struct AuditList {
    /// Rows in the format of the export.
    #[schema(value_type = Vec<audit_export::AuditRow>)]
    events: Vec<serde_json::Value>,
    /// Send it as `after` for the next page. `null` on the last page.
    next: Option<i64>,
}

/// Lists audit events that affect or were caused by users of the caller's organization. All events for a system administrator.
#[utoipa::path(get, path = "/admin/audit", tag = "admin", params(AuditQuery), responses(
    (status = 200, description = "A page of the log.", body = AuditList),
    (status = 401, description = "`session_ended`", body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "`forbidden`: administrators only", body = ProblemBody,
        content_type = "application/problem+json"),
    (status = 422, description = "`invalid_input`: an unknown filter", body = ProblemBody,
        content_type = "application/problem+json"),
))]
pub async fn list_audit(
    State(state): State<AppState>,
    SignedIn(caller): SignedIn,
    RequestClient(client): RequestClient,
    RawQuery(query): RawQuery,
) -> Result<Json<AuditList>, Problem> {
    let admin = AdminRequest::authorize(state, caller, client).await?;
    let query =
        AuditQuery::parse(query.as_deref().unwrap_or_default(), QuerySource::Api).map_err(AppError::from)?;
    let page = audit_log::list(&admin, &query).await?;
    let read = |row| Ok(serde_json::from_str(&audit_export::to_json_line(row)?)?);
    let events: std::io::Result<_> = page.rows.iter().map(read).collect();
    let events = events.map_err(|error| {
        tracing::error!(%error, "audit row not serialized");
        AppError::Internal
    })?;
    Ok(Json(AuditList {
        events,
        next: page.next,
    }))
}

/// Exports all audit events that the filter selects, oldest first, as one JSON object per line.
#[utoipa::path(get, path = "/admin/audit.jsonl", tag = "admin", params(AuditQuery), responses(
    (status = 200, description = "The rows.", body = String, content_type = "application/jsonl"),
    (status = 401, description = "`session_ended`", body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "`forbidden`: administrators only", body = ProblemBody,
        content_type = "application/problem+json"),
    (status = 422, description = "`invalid_input`: an unknown filter", body = ProblemBody,
        content_type = "application/problem+json"),
    (status = 503, description = "`busy` with `Retry-After`: too many exports at once; `unavailable`",
        body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn export_audit(
    State(state): State<AppState>,
    SignedIn(caller): SignedIn,
    RequestClient(client): RequestClient,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let admin = AdminRequest::authorize(state, caller, client).await?;
    let query =
        AuditQuery::parse(query.as_deref().unwrap_or_default(), QuerySource::Api).map_err(AppError::from)?;
    audit_log::record_export(&admin, &query.filter).await?;
    let name = format!("audit-{}.jsonl", admin.state.clock.now().format("%Y-%m-%d"));
    let metrics = admin.state.metrics.clone();
    let body = stream_export(metrics, move |out| async move {
        let write = |lines| {
            let out = out.clone();
            async move { out.write(lines).await }
        };
        audit_log::export(&admin, &query.filter, write).await
    })?;
    Ok(file_response("application/jsonl", &name, body))
}

/// The sessions to revoke: exactly one of `filter`, `ids` and `user_id`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RevokeBody {
    /// Filter fields as in the query of the list. At least one, each with a value; `state` = `live` alone selects all live
    /// sessions that the caller may see.
    filter: Option<QueryFields>,
    ids: Option<Vec<SessionId>>,
    user_id: Option<UserId>,
    #[schema(schema_with = note_schema)]
    reason: Option<String>,
    /// With `filter`: sessions that were created later stay. Send the value of the first response again. An RFC 3339 time is
    /// also accepted.
    begun_by: Option<String>,
    /// Also revokes the caller's own session, if it is selected.
    #[serde(default)]
    own_too: bool,
}

fn note_schema() -> Object {
    Object::builder()
        .schema_type(SchemaType::Array(vec![Type::String, Type::Null]))
        .description(Some("The note for the users."))
        .max_length(Some(revoke::MAX_NOTE))
        .build()
}

/// The progress of a revocation.
#[derive(Serialize, ToSchema)]
pub struct RevokeProgress {
    /// Sessions that this request revoked.
    ended: usize,
    /// Selected sessions that are left. Send the request again with `begun_by`.
    left: usize,
    begun_by: String,
}

/// Revokes the live sessions that the filter selects. Large selections take several requests.
#[utoipa::path(post, path = "/admin/sessions/revoke", tag = "admin", request_body = RevokeBody, responses(
    (status = 200, description = "Revoked: no node accepts their credentials any more.", body = RevokeProgress),
    (status = 401, description = "`session_ended`", body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "`forbidden`: administrators only; `reauth_required`: a fresh password check is needed",
        body = ProblemBody, content_type = "application/problem+json"),
    (status = 404, description = "`not_found`: a user whom the caller may not see", body = ProblemBody,
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
    let admin = AdminRequest::authorize(state, caller, client).await?;
    let request = parse_revoke_request(&admin, body).await?;
    _ = reauthentication::require_recent_check(&admin.state, &admin.caller, None, &admin.client).await?;
    let ended = revoke::revoke_sessions(&admin, &request).await?;
    Ok(Json(RevokeProgress {
        ended: ended.ended,
        left: ended.left,
        begun_by: request.until.to_string(),
    }))
}

async fn parse_revoke_request(admin: &AdminRequest, body: RevokeBody) -> Result<RevokeRequest, AppError> {
    let target = match (body.filter, body.ids, body.user_id) {
        (Some(fields), None, None) => {
            if let Some(unknown) = fields
                .keys()
                .find(|name| !SessionFilter::FIELDS.contains(&name.as_str()))
            {
                tracing::debug!(unknown, caller = %admin.caller.id, "unknown filter");
                return Err(AppError::invalid_input(
                    "filter",
                    "The filter has an unknown field.",
                ));
            }
            RevokeTarget::Filter(SessionFilter::parse_for_revocation(&fields)?)
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
    Ok(RevokeRequest {
        target,
        until: match body.begun_by {
            None => revoke::current_cutoff(&admin.state).await?,
            Some(text) => text
                .parse()
                .map_err(|_| AppError::invalid_input("begun_by", "Send the value of the first response."))?,
        },
        note: revoke::parse_note(body.reason.as_deref().unwrap_or_default())?,
        own_too: body.own_too,
    })
}
