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

use crate::server::database::Connection;
use domain::{
    ids::{OrganizationId, UserId},
    user::Role,
};

use crate::{
    error::{AppError, Resource},
    server::{
        auth::current_session::{Client, CurrentSession},
        services::denials::{DenialReason, DenialRecorder},
        state::AppState,
        store::{
            audit::{self, AuditEvent, AuditKind},
            caller_transaction::{AdminTransaction, CallerError},
            session_list, sessions as sessions_store,
        },
    },
};

/// Writes the row of an export. Other reads have none: `docs/administration.md` says which are recorded, and why.
async fn record_export(
    tx: &mut AdminTransaction,
    kind: AuditKind,
    filter: &str,
    listed: i64,
) -> sqlx::Result<()> {
    let event = AuditEvent {
        kind,
        actor: tx.actor(),
        user: None,
        session: None,
        reason: None,
        detail: json!({ "filter": filter, "listed": listed }),
    };
    let now = tx.now();
    audit::record(tx, event, now).await
}

/// The caller as somebody who was refused something.
pub fn refused<'a>(state: &'a AppState, caller: &'a CurrentSession, client: &Client) -> DenialRecorder<'a> {
    DenialRecorder {
        database: &state.database,
        clock: &state.clock,
        caller,
        ip_address: client.ip_address,
    }
}

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
        let organization = caller.organization.as_ref().map(|organization| organization.id);
        let role = caller.user.role;
        role.can_administer(organization.is_some()).then_some(Self {
            organization: organization.filter(|_| role != Role::SystemAdmin),
        })
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
        let refused = refused(state, caller, client);
        refused
            .record(DenialReason::AdministratorsOnly, json!({}))
            .await?;
        Err(AppError::Forbidden)
    }

    /// Begins a transaction in which the caller changes something: locks the caller and the users `concerned`, and
    /// rechecks the caller's session and permission.
    ///
    /// # Errors
    /// [`CallerError`].
    pub async fn begin(
        self,
        state: &AppState,
        caller: &CurrentSession,
        client: &Client,
        concerned: &[UserId],
    ) -> Result<AdminTransaction, CallerError> {
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
        conn: &mut Connection,
        caller: &CurrentSession,
        now: DateTime<Utc>,
    ) -> Result<(), AppError> {
        if let Some(reason) = sessions_store::find_end_reason(conn, caller.id, now).await? {
            return Err(AppError::SessionEnded { reason });
        }
        if !session_list::is_administrator(conn, caller.id, self.organization).await? {
            return Err(AppError::Forbidden);
        }
        Ok(())
    }

    /// Records that the caller asked about someone who is not within reach.
    ///
    /// # Errors
    /// The database's.
    pub async fn record_if_foreign(
        self,
        state: &AppState,
        caller: &CurrentSession,
        client: &Client,
        user: UserId,
    ) -> Result<(), AppError> {
        let included = self
            .includes(&mut *state.database.connection().await?, user)
            .await;
        match included {
            Err(AppError::ResourceNotFound(_)) => {
                refused(state, caller, client)
                    .record_foreign("person_id", user.0)
                    .await
            }
            other => other,
        }
    }

    /// # Errors
    /// [`AppError::ResourceNotFound`] for someone who is not within reach, as for nobody at all.
    pub async fn includes(self, conn: &mut Connection, user: UserId) -> Result<(), AppError> {
        if session_list::is_member(conn, self.organization, user).await? {
            Ok(())
        } else {
            Err(AppError::ResourceNotFound(Resource::User))
        }
    }
}
