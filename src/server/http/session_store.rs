//! Our own store behind tower-sessions, over our own table.
//!
//! Three rules set it apart from the stock one. It never inserts: a row begins in the sign-in service, which hands
//! the credential over ([`set_cookie`]). Its `save` only touches a row that has not ended, so a request in flight during a
//! revocation cannot bring the session back. And the id in the cookie is known to the database by its hash only.

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

/// Where a record carries the credential of a session that has just begun, from the service to [`PortalSessionStore::create`].
/// It is taken out before anything is kept.
const CREDENTIAL: &str = "credential";

/// Browser sessions as tower-sessions sees them.
#[derive(Clone, Debug)]
pub struct PortalSessionStore {
    pub database: Database,
    pub clock: Clock,
}

/// Makes the browser's cookie the credential of a session that has just begun, in place of whatever it held.
///
/// # Errors
/// [`AppError::Unavailable`] when the store could not be asked.
pub async fn set_cookie(
    session: &Session,
    credential: &PlainToken,
    valid_for: TimeDelta,
) -> std::result::Result<(), AppError> {
    let give_up = |error: tower_sessions::session::Error| {
        tracing::error!(%error, "the session cookie could not be set");
        committed_changes::unavailable_error()
    };
    if session.id().is_some() {
        session.flush().await.map_err(give_up)?;
    }
    session
        .insert(CREDENTIAL, credential.bytes())
        .await
        .map_err(give_up)?;
    // A length of time, not a point in it: this machine's own clock may be wrong.
    session.set_expiry(Some(Expiry::OnInactivity(time::Duration::seconds(
        valid_for.num_seconds(),
    ))));
    Ok(())
}

/// Takes the cookie away from the browser.
///
/// # Errors
/// [`AppError::Unavailable`] when the store could not be asked.
pub async fn clear_cookie(session: &Session) -> std::result::Result<(), AppError> {
    if session.id().is_none() {
        // No cookie, or one that cannot be read, which tower-sessions takes away by itself.
        return Ok(());
    }
    session.flush().await.map_err(|error| {
        tracing::error!(%error, "the session cookie could not be taken back");
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
    /// Takes over a session that the sign-in service has begun. A session without a sign-in is not to be had.
    async fn create(&self, record: &mut Record) -> Result<()> {
        let credential: Option<[u8; PlainToken::BYTES]> = record
            .data
            .remove(CREDENTIAL)
            .and_then(|value| serde_json::from_value(value).ok());
        let Some(credential) = credential else {
            return Err(Error::Backend("a session begins by signing in only".to_owned()));
        };
        record.id = Id(i128::from_le_bytes(credential));
        if record.data.is_empty() {
            Ok(())
        } else {
            self.save(record).await
        }
    }

    /// Keeps the data if the session has not ended; otherwise it is dropped.
    async fn save(&self, record: &Record) -> Result<()> {
        let data = Value::Object(record.data.clone().into_iter().collect());
        let credential = token(&record.id).hash();
        let mut tx = self.database.begin().await.map_err(backend)?;
        let kept = session_data::update(&mut tx, credential, &data)
            .await
            .map_err(backend)?;
        tx.commit().await.map_err(backend)?;
        if !kept {
            tracing::info!("the session ended while a request was under way; its data is dropped");
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

    /// Signs the session out if it is still live.
    async fn delete(&self, id: &Id) -> Result<()> {
        let (credential, now) = (token(id).hash(), self.clock.now());
        let found = sessions::find_by_credential(
            &mut *self.database.connection().await.map_err(backend)?,
            credential,
            ClientKind::Browser,
            // Where it is used from does not matter here.
            Network::of(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
            now,
        )
        .await
        .map_err(backend)?;
        let Some(FoundSession::Live(session)) = found else {
            return Ok(());
        };
        match revoke::revoke_own(&self.database, &self.clock, &session, RevokeScope::Current, None).await {
            // Over already, by someone else: just as well.
            Ok(_) | Err(AppError::SessionEnded { .. }) => Ok(()),
            Err(error) => Err(Error::Backend(error.to_string())),
        }
    }
}
