//! Is the server well? For load balancers and operators.

use axum::{Json, Router, extract::State, http::StatusCode, response::IntoResponse, routing::get};
use serde::Serialize;

use super::state::AppState;

/// `/healthz`: the process answers. `/readyz`: what it rests on is well too.
pub fn router() -> Router<AppState> {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
}

/// One thing that the server rests on.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    pub name: &'static str,
    pub ok: bool,
    /// What is wrong, in one line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

async fn ready(State(state): State<AppState>) -> impl IntoResponse {
    let mut checks = check(&state.database).await;
    let deaf = (!state.hub.is_listening()).then(|| {
        "nothing is heard of the database: ended sessions are refused, but open pages learn of it late"
            .to_owned()
    });
    checks.push(Check {
        name: "listener",
        ok: deaf.is_none(),
        problem: deaf,
    });
    let well = checks.iter().all(|check| check.ok);
    let status = if well {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (
        status,
        Json(serde_json::json!({ "ready": well, "checks": checks })),
    )
}

/// Asks the database and compares the migrations.
pub async fn check(database: &super::database::Database) -> Vec<Check> {
    let answer = database.time().await;
    let migrations = match &answer {
        Ok(_) => database
            .pending_migrations()
            .await
            .map_err(|_| "not known".to_owned()),
        Err(_) => Err("not known: the database does not answer".to_owned()),
    };
    let migrations = match migrations {
        Ok(0) => None,
        Ok(pending) => Some(format!("{pending} not applied; run `broker-portal migrate`")),
        Err(problem) => Some(problem),
    };
    // Not the error's own words: they hold addresses and names of the database.
    let database = answer.is_err().then(|| "does not answer".to_owned());
    vec![
        Check {
            name: "database",
            ok: database.is_none(),
            problem: database,
        },
        Check {
            name: "migrations",
            ok: migrations.is_none(),
            problem: migrations,
        },
    ]
}
