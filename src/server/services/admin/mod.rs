//! What administrators do: list and revoke sessions, manage users, read the audit log.
//!
//! Every service here takes an [`AdminRequest`]: the proof that the caller is an administrator. What the administrator may
//! do to a user is decided by [`domain::admin_permission`].

pub mod audit_log;
mod csv;
pub mod people;
pub mod people_list;
pub mod query;
pub mod revoke;
pub mod sessions;
pub mod timeline;

use std::sync::Arc;

use serde_json::json;
use uuid::Uuid;

use crate::server::database::Connection;
use domain::{
    admin::AdminUser,
    admin_permission::{AdminAction, AdminScope, Administrator, Permission, check_permission},
    ids::UserId,
};

use crate::{
    error::{AppError, Resource},
    server::{
        auth::current_session::{Client, CurrentSession},
        services::denials::{DenialReason, DenialRecorder},
        state::AppState,
        store::{
            caller_transaction::{AdminTransaction, CallerError},
            people as people_store, session_list, sessions as sessions_store,
        },
    },
};

/// A request of an administrator: who asks, from where, and which users they may see.
#[derive(Clone, Debug)]
pub struct AdminRequest {
    pub state: AppState,
    pub caller: Arc<CurrentSession>,
    pub client: Client,
    pub scope: AdminScope,
}

impl AdminRequest {
    /// Lets administrators pass.
    ///
    /// # Errors
    /// [`AppError::Forbidden`] for any other user; the first denial in a window is recorded.
    pub async fn authorize(
        state: AppState,
        caller: Arc<CurrentSession>,
        client: Client,
    ) -> Result<Self, AppError> {
        let organization = caller.organization.as_ref().map(|organization| organization.id);
        match AdminScope::for_session(caller.user.role, organization) {
            Some(scope) => Ok(Self {
                state,
                caller,
                client,
                scope,
            }),
            None => {
                let refused = refused(&state, &caller, &client);
                refused
                    .record(DenialReason::AdministratorsOnly, json!({}))
                    .await?;
                Err(AppError::Forbidden)
            }
        }
    }

    /// The name of the organization in scope. `None`: everyone.
    pub fn organization_name(&self) -> Option<&str> {
        let organization = self.scope.organization.and(self.caller.organization.as_ref());
        organization.map(|organization| organization.name.as_str())
    }

    /// Begins a transaction in which the caller changes something: locks the caller and `others`, and rechecks the
    /// caller's session and permission.
    ///
    /// # Errors
    /// [`CallerError`].
    pub async fn begin(&self, others: &[UserId]) -> Result<AdminTransaction, CallerError> {
        let AppState { database, clock, .. } = &self.state;
        let address = self.client.ip_address;
        AdminTransaction::begin(database, clock, &self.caller, address, self.scope, others).await
    }

    /// Rechecks the caller's session and permission before each part of a long response. Changes use [`Self::begin`].
    ///
    /// # Errors
    /// [`AppError::SessionEnded`], [`AppError::Forbidden`].
    async fn recheck(&self, conn: &mut Connection) -> Result<(), AppError> {
        let now = self.state.clock.now();
        if let Some(reason) = sessions_store::find_end_reason(conn, self.caller.id, now).await? {
            return Err(AppError::SessionEnded { reason });
        }
        let scope = session_list::admin_scope(conn, self.caller.id).await?;
        if scope.is_some_and(|scope| scope.is_superset_of(self.scope)) {
            Ok(())
        } else {
            Err(AppError::Forbidden)
        }
    }

    /// Whether the caller may do this to the user.
    pub fn check_permission(&self, target: &AdminUser, action: AdminAction) -> Permission {
        let administrator = Administrator {
            user: self.caller.user.id,
            scope: self.scope,
        };
        check_permission(administrator, target, action)
    }

    /// Finds a user in scope.
    ///
    /// # Errors
    /// [`AppError::NotFound`] for an unknown user and for one who is not in scope.
    async fn find_user(&self, conn: &mut Connection, user: UserId) -> Result<AdminUser, AppError> {
        let found = people_store::find(conn, self.scope.organization, user).await?;
        let is_visible = |target: &AdminUser| {
            self.check_permission(target, AdminAction::View)
                .denied()
                .is_none()
        };
        found.filter(is_visible).ok_or(AppError::NotFound(Resource::User))
    }

    /// Records that the caller asked for a user who is not in scope.
    ///
    /// # Errors
    /// [`AppError::Unavailable`].
    pub async fn record_user_out_of_scope(&self, user: UserId) -> Result<(), AppError> {
        let found = self
            .find_user(&mut *self.state.database.connection().await?, user)
            .await;
        match found {
            Err(AppError::NotFound(_)) => self.record_foreign_id("person_id", user.0).await,
            Err(error) => Err(error),
            Ok(_) => Ok(()),
        }
    }

    /// Records that the caller asked for the id of something that is not theirs. `name`: of the id in the audit log.
    ///
    /// # Errors
    /// [`AppError::Unavailable`].
    pub async fn record_foreign_id(&self, name: &str, id: Uuid) -> Result<(), AppError> {
        self.refused().record_foreign(name, id).await
    }

    fn refused(&self) -> DenialRecorder<'_> {
        refused(&self.state, &self.caller, &self.client)
    }
}

fn refused<'a>(state: &'a AppState, caller: &'a CurrentSession, client: &Client) -> DenialRecorder<'a> {
    DenialRecorder {
        database: &state.database,
        clock: &state.clock,
        caller,
        ip_address: client.ip_address,
    }
}
