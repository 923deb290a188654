-- As before, with what lists and the lookup of a credential would otherwise read from `sessions` a second time.
CREATE OR REPLACE VIEW session_state AS
SELECT
    s.id, s.user_id, s.kind, s.device, s.credential_hash, s.credential_expires_at, s.created_at, s.authenticated_at,
    s.last_active_at, s.last_seen_at, s.ip_address, s.user_agent, s.browser, s.data,
    s.ended_at, s.end_reason, s.end_note, s.ended_by, s.ended_by_session,
    COALESCE(d.os, s.os) AS os,
    COALESCE(d.platform, s.platform) AS platform,
    d.device_name, d.app_version,
    u.email, u.display_name, u.disabled_at,
    p.role,
    -- Only while the person is a member.
    m.organization_id, o.name AS organization_name,
    p.idle_seconds, p.lifetime_seconds, p.max_sessions,
    s.last_active_at + make_interval(secs => p.idle_seconds) AS idle_expires_at,
    s.created_at + make_interval(secs => p.lifetime_seconds) AS lifetime_expires_at,
    CASE
        WHEN s.ended_at IS NOT NULL OR u.disabled_at IS NOT NULL OR s.epoch <> u.session_epoch THEN '-infinity'
        ELSE LEAST(
            s.last_active_at + make_interval(secs => p.idle_seconds),
            s.created_at + make_interval(secs => p.lifetime_seconds)
        )
    END AS live_until,
    s.rotation_due,
    s.number,
    s.flash IS NOT NULL AS has_flash
FROM sessions s
JOIN users u ON u.id = s.user_id
LEFT JOIN devices d ON d.id = s.device
LEFT JOIN memberships m ON m.user_id = s.user_id AND m.organization_id = s.organization_id
LEFT JOIN organizations o ON o.id = m.organization_id
JOIN role_policies p ON p.role = effective_role(u.role, m.role);
