//! What the dashboard and the settings page show.

use domain::{
    ids::NoticeId,
    organization::Membership,
    overview::{AttentionItem, Overview},
    security_notice::{ReuseCause, SecurityNotice},
    session::{ClientKind, Session},
};

use crate::{
    error::{AppError, Resource},
    server::{
        auth::current_session::{Client, CurrentSession},
        services::{
            denials::DenialRecorder,
            reauthentication::{self, PasswordProof},
            session_view,
        },
        state::AppState,
        store::{
            audit::{self, AuditEvent},
            caller_transaction::CallerTransaction,
            events, organizations,
            security_notices::{self, CanAnswer, OpenNotice},
            sessions::{self, SessionClient, UserSession},
        },
    },
};

/// The caller's live sessions, most recently active first.
///
/// # Errors
/// The database does not respond.
pub async fn list_sessions(state: &AppState, caller: &CurrentSession) -> Result<Vec<Session>, AppError> {
    let now = state.clock.now();
    let user = Some(caller.user.id);
    let listed = sessions::list_live(&mut *state.database.connection().await?, user, now).await?;
    let view = |UserSession { session, .. }| {
        let active = state.activity.last_active(session.id);
        session_view::build(session, active, Some(caller.id))
    };
    let mut list: Vec<Session> = listed.into_iter().map(view).collect();
    list.sort_by_key(|session| std::cmp::Reverse(session.last_active_at));
    Ok(list)
}

/// The caller's memberships.
///
/// # Errors
/// The database does not respond.
pub async fn list_memberships(
    state: &AppState,
    caller: &CurrentSession,
) -> Result<Vec<Membership>, AppError> {
    Ok(organizations::list_for_user(&mut *state.database.connection().await?, caller.user.id).await?)
}

/// The caller's open security notices.
///
/// # Errors
/// The database does not respond.
pub async fn list_notices(
    state: &AppState,
    caller: &CurrentSession,
) -> Result<Vec<SecurityNotice>, AppError> {
    if !caller.has_notices {
        return Ok(Vec::new());
    }
    let conn = &mut *state.database.connection().await?;
    let open = security_notices::list_open(conn, caller.user.id, caller.id, state.clock.now()).await?;
    let view = |notice: OpenNotice| SecurityNotice {
        id: notice.id,
        session_id: notice.session,
        device_name: session_view::client_name(SessionClient {
            device_name: notice.device_name,
            user_agent: notice.user_agent,
        }),
        ip_address: notice.ip_address,
        at: notice.at,
        rules: notice.rules,
        failures: notice.failures.and_then(|failures| u32::try_from(failures).ok()),
        answer_lost: notice.cause.as_deref().map(str::parse) == Some(Ok(ReuseCause::LostResponse)),
        is_live: notice.is_live,
        may_confirm: notice.may_confirm,
    };
    Ok(open.into_iter().map(view).collect())
}

/// Confirms a security notice. If the notice is about the caller's own session, `password` is required in any case: whoever has
/// a copy of that session's cookie could otherwise confirm it. Renew the check afterwards.
///
/// # Errors
/// [`AppError::NotFound`] if the caller cannot confirm it or it is confirmed already; [`AppError::ReauthRequired`] without a
/// required password; [`AppError::SessionEnded`] if the caller's session ended meanwhile; errors of
/// [`reauthentication::check_password`].
pub async fn dismiss_notice(
    state: &AppState,
    caller: &CurrentSession,
    notice: NoticeId,
    password: Option<String>,
    client: &Client,
) -> Result<PasswordProof, AppError> {
    let user = caller.user.id;
    let answerable = {
        let conn = &mut *state.database.connection().await?;
        security_notices::check_can_answer(conn, user, caller.id, notice, state.clock.now()).await?
    };
    let allowed = match answerable {
        CanAnswer::Yes => PasswordProof::LastCheck,
        CanAnswer::WithPassword => {
            reauthentication::require_password(state, caller, password, client).await?
        }
        CanAnswer::No => return Err(record_unknown_notice(state, caller, notice, client).await?),
    };
    let ip_address = Some(client.ip_address);
    let mut tx = CallerTransaction::begin(&state.database, &state.clock, caller, ip_address).await?;
    let now = tx.now();
    match (
        security_notices::check_can_answer(&mut tx, user, caller.id, notice, now).await?,
        &allowed,
    ) {
        (CanAnswer::Yes, _) => {}
        (CanAnswer::WithPassword, PasswordProof::Password(verified)) => {
            reauthentication::require_unchanged_password(&mut tx, verified).await?;
        }
        (CanAnswer::WithPassword, PasswordProof::LastCheck) => return Err(AppError::ReauthRequired),
        (CanAnswer::No, _) => {
            drop(tx);
            return Err(record_unknown_notice(state, caller, notice, client).await?);
        }
    }
    security_notices::dismiss(&mut tx, notice).await?;
    let event =
        AuditEvent::suspicion_dismissed(tx.actor(), notice, matches!(allowed, PasswordProof::Password(_)));
    audit::record(&mut tx, event, now).await?;
    // Updates the user's other tabs and browsers.
    events::publish_sessions_changed(&mut tx, user, now).await?;
    tx.commit().await?;
    Ok(allowed)
}

/// The error for a notice that the caller cannot confirm. Records the denial if the notice belongs to another user.
async fn record_unknown_notice(
    state: &AppState,
    caller: &CurrentSession,
    notice: NoticeId,
    client: &Client,
) -> Result<AppError, AppError> {
    let recorder = DenialRecorder {
        database: &state.database,
        clock: &state.clock,
        caller,
        ip_address: client.ip_address,
    };
    recorder.record_foreign("notice_id", notice.0).await?;
    Ok(AppError::NotFound(Resource::Notice))
}

/// The data of the dashboard.
///
/// # Errors
/// The database does not respond.
pub async fn load_overview(state: &AppState, caller: &CurrentSession) -> Result<Overview, AppError> {
    let list = list_sessions(state, caller).await?;
    let history = audit::load_sign_in_history(
        &mut *state.database.connection().await?,
        caller.user.id,
        caller.id,
        caller.created_at,
    )
    .await?;
    let count = |kind| list.iter().filter(|session| session.kind == kind).count();
    let limit =
        usize::try_from(state.config.policy.for_role(caller.user.role).max_sessions).unwrap_or(usize::MAX);

    let mut attention = Vec::new();
    let notices = list_notices(state, caller).await?;
    if let Ok(count @ 1..) = u32::try_from(notices.len()) {
        attention.push(AttentionItem::SecurityNotices { count });
    }
    let replaced = sessions::list_ended_by_limit(&mut *state.database.connection().await?, caller.id).await?;
    for client in replaced {
        let device_name = session_view::client_name(client);
        attention.push(AttentionItem::SignedOutForLimit { device_name });
    }
    if let Ok(failures @ 1..) = u32::try_from(history.failures) {
        attention.push(AttentionItem::FailedSignIns { count: failures });
    }
    if list.len() >= limit {
        attention.push(AttentionItem::AtSessionLimit { limit });
    }
    Ok(Overview {
        browsers: count(ClientKind::Browser),
        desktops: count(ClientKind::Desktop),
        current: list.into_iter().find(|session| session.is_current),
        previous_sign_in: history.previous,
        attention,
        server_time: state.clock.now(),
    })
}
