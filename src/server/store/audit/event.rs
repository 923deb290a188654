//! Audit events. Each kind has one constructor, so that its facts are always the same.

use std::net::IpAddr;

use serde_json::{Value, json};
use uuid::Uuid;

use super::Actor;
use domain::{
    audit::AuditKind,
    ids::{NoticeId, OrganizationId, SessionId, UserId},
    policy::RolePolicy,
    security_notice::{NoticeRule, ReuseCause},
    session::ClientKind,
    user::Role,
};

/// One audit event.
#[derive(Clone, Debug)]
pub struct AuditEvent<'a> {
    pub(super) kind: AuditKind,
    pub(super) actor: Actor,
    pub(super) user: Option<UserId>,
    pub(super) session: Option<SessionId>,
    pub reason: Option<&'a str>,
    /// Further facts, never a secret.
    pub detail: Value,
}

impl<'a> AuditEvent<'a> {
    fn new(kind: AuditKind, actor: Actor, detail: Value) -> Self {
        Self {
            kind,
            actor,
            user: None,
            session: None,
            reason: None,
            detail,
        }
    }

    fn of_user(kind: AuditKind, actor: Actor, user: UserId, detail: Value) -> Self {
        Self {
            user: Some(user),
            ..Self::new(kind, actor, detail)
        }
    }

    /// The actor's session did it to itself.
    fn of_actor(kind: AuditKind, actor: Actor, detail: Value) -> Self {
        Self {
            user: actor.user,
            session: actor.session,
            ..Self::new(kind, actor, detail)
        }
    }

    /// `actor` is the new session.
    pub fn signed_in(actor: Actor, kind: ClientKind, device_name: &str) -> Self {
        let detail = json!({ "kind": kind, "device_name": device_name });
        Self::of_actor(AuditKind::SignedIn, actor, detail)
    }

    /// `user` is `None` for an unknown email.
    pub fn sign_in_failed(ip_address: IpAddr, user: Option<UserId>, reason: &'a str) -> Self {
        Self {
            user,
            reason: Some(reason),
            ..Self::new(
                AuditKind::SignInFailed,
                Actor::from_address(ip_address),
                json!({}),
            )
        }
    }

    /// With a session, the attempts were password checks of a signed-in caller. `by` is what was counted.
    pub fn sign_in_throttled(
        ip_address: IpAddr,
        user: Option<UserId>,
        session: Option<SessionId>,
        by: &'a str,
    ) -> Self {
        let actor = match (user, session) {
            (Some(user), Some(session)) => Actor::signed_in(user, session, Some(ip_address)),
            _ => Actor::from_address(ip_address),
        };
        Self {
            user,
            session,
            reason: Some(by),
            ..Self::new(AuditKind::SignInThrottled, actor, json!({}))
        }
    }

    /// A refused action of a signed-in caller. It is recorded even if the caller's session has ended meanwhile.
    pub fn denied(
        user: UserId,
        session: SessionId,
        ip_address: IpAddr,
        reason: &'a str,
        detail: Value,
    ) -> Self {
        let actor = Actor::signed_in(user, session, Some(ip_address));
        Self {
            reason: Some(reason),
            ..Self::of_actor(AuditKind::Denied, actor, detail)
        }
    }

    /// A password check of a signed-in caller. It is recorded even if the caller's session has ended meanwhile.
    pub fn reauthentication_failed(user: UserId, session: SessionId, ip_address: IpAddr) -> Self {
        let actor = Actor::signed_in(user, session, Some(ip_address));
        Self {
            reason: Some("wrong_password"),
            ..Self::of_actor(AuditKind::ReauthenticationFailed, actor, json!({}))
        }
    }

    pub fn reauthenticated(actor: Actor) -> Self {
        Self::of_actor(AuditKind::Reauthenticated, actor, json!({}))
    }

    /// `begun_by` is the cutoff, and `listed` the number of sessions that the filter selected.
    pub fn sessions_ended_by_filter(
        actor: Actor,
        filter: &str,
        begun_by: &str,
        listed: usize,
        note: Option<&str>,
    ) -> Self {
        let detail = json!({ "filter": filter, "begun_by": begun_by, "listed": listed, "note": note });
        Self::new(AuditKind::SessionsEndedByFilter, actor, detail)
    }

    pub fn token_reused(
        actor: Actor,
        (user, session): (UserId, SessionId),
        token: Uuid,
        cause: ReuseCause,
        successor_used: bool,
        same_network: bool,
    ) -> Self {
        let detail = json!({
            "token_id": token,
            "cause": cause,
            "successor_used": successor_used,
            "same_network": same_network,
        });
        Self {
            session: Some(session),
            ..Self::of_user(AuditKind::TokenReused, actor, user, detail)
        }
    }

    /// The first of `rules` is the most significant one.
    pub fn suspicion_raised(
        ip_address: IpAddr,
        user: UserId,
        session: SessionId,
        rules: &[NoticeRule],
        failures: Option<i32>,
    ) -> Self {
        let detail = json!({ "rules": rules, "failures": failures });
        let actor = Actor::from_address(ip_address);
        Self {
            session: Some(session),
            reason: rules.first().map(|rule| rule.as_str()),
            ..Self::of_user(AuditKind::SuspicionRaised, actor, user, detail)
        }
    }

    pub fn suspicion_dismissed(actor: Actor, notice: NoticeId, by_password: bool) -> Self {
        Self {
            user: actor.user,
            ..Self::new(
                AuditKind::SuspicionDismissed,
                actor,
                json!({ "notice_id": notice, "by_password": by_password }),
            )
        }
    }

    /// By an operator.
    pub fn user_created(user: UserId, role: Role) -> Self {
        let detail = json!({ "role": role });
        Self::of_user(AuditKind::UserCreated, Actor::default(), user, detail)
    }

    /// By an operator.
    pub fn membership_set(user: UserId, organization: OrganizationId, role: Role) -> Self {
        let detail = json!({ "organization_id": organization, "role": role });
        Self::of_user(AuditKind::MembershipSet, Actor::default(), user, detail)
    }

    pub fn role_changed(
        actor: Actor,
        user: UserId,
        organization: Option<OrganizationId>,
        from: Role,
        to: Role,
    ) -> Self {
        let detail = json!({ "organization_id": organization, "from": from, "to": to });
        Self::of_user(AuditKind::RoleChanged, actor, user, detail)
    }

    pub fn organization_switched(actor: Actor, from: Option<OrganizationId>, to: OrganizationId) -> Self {
        let detail = json!({ "from": from, "to": to });
        Self::of_actor(AuditKind::OrganizationSwitched, actor, detail)
    }

    pub fn user_disabled(actor: Actor, user: UserId) -> Self {
        Self::of_user(AuditKind::UserDisabled, actor, user, json!({}))
    }

    pub fn user_enabled(actor: Actor, user: UserId) -> Self {
        Self::of_user(AuditKind::UserEnabled, actor, user, json!({}))
    }

    /// By an operator.
    pub fn password_set(user: UserId) -> Self {
        Self::of_user(AuditKind::PasswordSet, Actor::default(), user, json!({}))
    }

    pub fn password_changed(actor: Actor, kept_others: bool) -> Self {
        Self::of_actor(
            AuditKind::PasswordChanged,
            actor,
            json!({ "kept_others": kept_others }),
        )
    }

    pub fn password_change_required(actor: Actor, user: UserId) -> Self {
        Self::of_user(AuditKind::PasswordChangeRequired, actor, user, json!({}))
    }

    /// By the configuration.
    pub fn policy_changed(role: Role, limits: RolePolicy) -> Self {
        let detail = json!({
            "role": role,
            "idle_seconds": limits.idle.as_secs(),
            "lifetime_seconds": limits.lifetime.as_secs(),
            "max_sessions": limits.max_sessions,
        });
        Self::new(AuditKind::PolicyChanged, Actor::default(), detail)
    }

    pub fn sessions_exported(actor: Actor, filter: &str, listed: i64) -> Self {
        let detail = json!({ "filter": filter, "listed": listed });
        Self::new(AuditKind::SessionsExported, actor, detail)
    }

    pub fn audit_exported(actor: Actor, filter: &str, listed: i64) -> Self {
        let detail = json!({ "filter": filter, "listed": listed });
        Self::new(AuditKind::AuditExported, actor, detail)
    }

    pub fn alert_test_sent(actor: Actor, delivery: Uuid) -> Self {
        Self::new(
            AuditKind::AlertTestSent,
            actor,
            json!({ "delivery_id": delivery }),
        )
    }
}
