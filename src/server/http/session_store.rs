//! A store for tower-sessions on the table `sessions`.
//!
//! Three rules differ from the standard SQL store. It never inserts: the sign-in service creates the row and passes the
//! credential ([`set_cookie`]). Its `save` updates only live sessions, so that a request in flight does not restore a
//! revoked session. The database knows the id in the cookie only by its hash.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr},
};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use time::OffsetDateTime;
use tower_sessions::{
    Expiry, Session, SessionStore,
    session::{Id, Record},
    session_store::{Error, Result},
};

use domain::session::{ClientKind, RevokeScope};

use crate::{
    error::AppError,
    server::{
        auth::{client::Network, token::PlainToken},
        clock::Clock,
        database::{Database, committed_changes},
        services::revoke,
        store::{
            session_data,
            sessions::{self, FoundSession},
        },
    },
};

/// The field of a record that passes a new credential to [`PortalSessionStore::create`], which removes it.
const CREDENTIAL: &str = "credential";

/// The browser sessions.
#[derive(Clone, Debug)]
pub struct PortalSessionStore {
    pub database: Database,
    pub clock: Clock,
}

/// Makes `credential` the session cookie of the browser. Replaces its previous cookie.
///
/// # Errors
/// [`AppError::Unavailable`] if the store fails.
pub async fn set_cookie(
    session: &Session,
    credential: &PlainToken,
    valid_for: TimeDelta,
) -> std::result::Result<(), AppError> {
    let log_error = |error: tower_sessions::session::Error| {
        tracing::error!(%error, "session cookie not set");
        committed_changes::unavailable_error()
    };
    if session.id().is_some() {
        session.flush().await.map_err(log_error)?;
    }
    session
        .insert(CREDENTIAL, credential.bytes())
        .await
        .map_err(log_error)?;
    // A duration instead of a time, since the wall clock of this machine may be wrong.
    session.set_expiry(Some(Expiry::OnInactivity(time::Duration::seconds(
        valid_for.num_seconds(),
    ))));
    Ok(())
}

/// Removes the session cookie from the browser.
///
/// # Errors
/// [`AppError::Unavailable`] if the store fails.
pub async fn clear_cookie(session: &Session) -> std::result::Result<(), AppError> {
    if session.id().is_none() {
        // No cookie, or a malformed one, which tower-sessions removes itself.
        return Ok(());
    }
    session.flush().await.map_err(|error| {
        tracing::error!(%error, "session cookie not removed");
        committed_changes::unavailable_error()
    })
}

fn token(id: &Id) -> PlainToken {
    PlainToken::from_bytes(id.0.to_le_bytes())
}

fn offset(time: DateTime<Utc>) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(time.timestamp()).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

fn backend(error: sqlx::Error) -> Error {
    Error::Backend(error.to_string())
}

#[async_trait]
impl SessionStore for PortalSessionStore {
    /// Accepts a session that the sign-in service has created. There are no sessions without a sign-in.
    async fn create(&self, record: &mut Record) -> Result<()> {
        let credential: Option<[u8; PlainToken::BYTES]> = record
            .data
            .remove(CREDENTIAL)
            .and_then(|value| serde_json::from_value(value).ok());
        let Some(credential) = credential else {
            return Err(Error::Backend("sessions are created by sign-in only".to_owned()));
        };
        record.id = Id(i128::from_le_bytes(credential));
        if record.data.is_empty() {
            Ok(())
        } else {
            self.save(record).await
        }
    }

    /// Stores the data, unless the session has ended.
    async fn save(&self, record: &Record) -> Result<()> {
        let data = Value::Object(record.data.clone().into_iter().collect());
        let credential = token(&record.id).hash();
        let mut tx = self.database.begin().await.map_err(backend)?;
        let kept = session_data::update(&mut tx, credential, &data)
            .await
            .map_err(backend)?;
        tx.commit().await.map_err(backend)?;
        if !kept {
            tracing::info!("session ended during a request, session data dropped");
        }
        Ok(())
    }

    async fn load(&self, id: &Id) -> Result<Option<Record>> {
        let (credential, now) = (token(id).hash(), self.clock.now());
        let found = session_data::find(
            &mut *self.database.connection().await.map_err(backend)?,
            credential,
            now,
        )
        .await
        .map_err(backend)?;
        Ok(found.map(|found| Record {
            id: *id,
            data: match found.data {
                Value::Object(data) => data.into_iter().collect(),
                _ => HashMap::new(),
            },
            expiry_date: offset(found.lifetime_expires_at),
        }))
    }

    /// Signs the session out if it is live.
    async fn delete(&self, id: &Id) -> Result<()> {
        let (credential, now) = (token(id).hash(), self.clock.now());
        let found = sessions::find_by_credential(
            &mut *self.database.connection().await.map_err(backend)?,
            credential,
            ClientKind::Browser,
            // The network does not matter here.
            Network::of(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
            now,
        )
        .await
        .map_err(backend)?;
        let Some(FoundSession::Live(session)) = found else {
            return Ok(());
        };
        match revoke::revoke_own(&self.database, &self.clock, &session, RevokeScope::Current, None).await {
            // Already ended.
            Ok(_) | Err(AppError::SessionEnded { .. }) => Ok(()),
            Err(error) => Err(Error::Backend(error.to_string())),
        }
    }
}
