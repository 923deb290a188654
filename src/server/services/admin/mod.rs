//! What administrators do: review sessions, end them, look after their people, read the audit log.
//!
//! Whom an administrator may see is decided in one place, [`Reach`]; every service here asks for it first.

pub mod audit_log;
mod csv;
pub mod people;
pub mod people_list;
pub mod revoke;
pub mod sessions;
pub mod timeline;

use chrono::{DateTime, Utc};
use serde_json::json;

use crate::{
    domain::{
        ids::{OrganizationId, UserId},
        user::Role,
    },
    error::AppError,
    server::{
        auth::current_session::{Client, CurrentSession},
        services::throttle,
        state::AppState,
        store::{
            acting::{AdminTransaction, NotActing},
            audit::{self, Refusal, RefusalKind},
            review, sessions as sessions_store,
        },
    },
};

/// Whose sessions someone may see and end: those of the people who belong to the organization that their own session
/// looks at, in whatever organization these are looking at now; a system administrator everyone's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    /// `None`: everyone.
    pub organization: Option<OrganizationId>,
}

impl Reach {
    /// Whether the caller is an administrator, without more ado.
    pub fn of(caller: &CurrentSession) -> Option<Self> {
        match (caller.user.role, &caller.organization) {
            (Role::SystemAdmin, _) => Some(Self { organization: None }),
            (Role::Admin, Some(organization)) => Some(Self {
                organization: Some(organization.id),
            }),
            _ => None,
        }
    }

    /// The caller's reach.
    ///
    /// # Errors
    /// [`AppError::Forbidden`] for anyone but an administrator; the first refusal in a window is on record.
    pub async fn require(
        state: &AppState,
        caller: &CurrentSession,
        client: &Client,
    ) -> Result<Self, AppError> {
        if let Some(reach) = Self::of(caller) {
            return Ok(reach);
        }
        let refusal = Refusal {
            kind: RefusalKind::Denied,
            user: caller.user.id,
            session: caller.id,
            ip_address: client.ip_address,
            reason: "administrators_only",
            detail: json!({}),
        };
        let mut tx = state.database.begin().await?;
        if throttle::is_first(&mut tx, state, "administrators_only", caller.id).await? {
            audit::record_refusal(&mut tx, refusal, state.clock.now()).await?;
        }
        tx.commit().await?;
        Err(AppError::Forbidden)
    }

    /// Begins a transaction in which the caller changes something: locks the caller and the users `concerned`, and
    /// rechecks the caller's session and permission.
    ///
    /// # Errors
    /// [`NotActing`].
    pub async fn begin(
        self,
        state: &AppState,
        caller: &CurrentSession,
        client: &Client,
        concerned: &[UserId],
    ) -> Result<AdminTransaction, NotActing> {
        let AppState { database, clock, .. } = state;
        let ip_address = client.ip_address;
        AdminTransaction::begin(database, clock, caller, ip_address, self.organization, concerned).await
    }

    /// Rechecks whether the caller's session is live and still has this reach, before each part of an answer that takes
    /// long. What changes something goes through [`Reach::begin`].
    ///
    /// # Errors
    /// [`AppError::SessionEnded`], [`AppError::Forbidden`].
    pub async fn still_holds(
        self,
        conn: &mut sqlx::PgConnection,
        caller: &CurrentSession,
        now: DateTime<Utc>,
    ) -> Result<(), AppError> {
        if let Some(reason) = sessions_store::end_reason_of(conn, caller.id, now).await? {
            return Err(AppError::SessionEnded { reason });
        }
        if !review::is_administrator(conn, caller.id, self.organization).await? {
            return Err(AppError::Forbidden);
        }
        Ok(())
    }

    /// # Errors
    /// [`AppError::NotFound`] for someone who is not within reach, as for nobody at all.
    pub async fn includes(self, conn: &mut sqlx::PgConnection, user: UserId) -> Result<(), AppError> {
        if review::is_within(conn, self.organization, user).await? {
            Ok(())
        } else {
            Err(AppError::NotFound)
        }
    }
}
