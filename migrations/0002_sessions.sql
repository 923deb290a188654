-- Where people are signed in. A session is a row; every credential points at it.

-- The desktops that a person has signed in on. `device_id` is the client's own name for itself.
CREATE TABLE devices (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    device_id text NOT NULL CHECK (char_length(device_id) BETWEEN 1 AND 128),
    device_name text NOT NULL CHECK (char_length(device_name) BETWEEN 1 AND 120),
    os text NOT NULL CHECK (char_length(os) BETWEEN 1 AND 80),
    platform text NOT NULL CHECK (char_length(platform) BETWEEN 1 AND 80),
    app_version text CHECK (char_length(app_version) BETWEEN 1 AND 40),
    -- Whether a session of this device is open.
    is_active boolean NOT NULL,
    last_seen_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL,
    UNIQUE (user_id, device_id)
);

CREATE TABLE sessions (
    -- Shown in lists and logs; worth nothing as a credential.
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    -- The organization that this session looks at now.
    organization_id uuid REFERENCES organizations (id) ON DELETE SET NULL,
    kind text NOT NULL CHECK (kind IN ('browser', 'desktop')),
    device uuid REFERENCES devices (id) ON DELETE CASCADE,
    -- SHA-256 of the browser's cookie or of the desktop's access token.
    credential_hash bytea NOT NULL UNIQUE CHECK (octet_length(credential_hash) = 32),
    -- When the access token stops, though the session may go on; cookies live as long as their session.
    credential_expires_at timestamptz,
    -- users.session_epoch when the session began.
    epoch bigint NOT NULL,
    created_at timestamptz NOT NULL,
    -- The last password check.
    authenticated_at timestamptz NOT NULL,
    -- The person did something.
    last_active_at timestamptz NOT NULL,
    -- The client was there.
    last_seen_at timestamptz NOT NULL,
    ip_address inet NOT NULL,
    user_agent text NOT NULL CHECK (char_length(user_agent) <= 512),
    browser text CHECK (char_length(browser) BETWEEN 1 AND 80),
    os text CHECK (char_length(os) BETWEEN 1 AND 80),
    platform text CHECK (char_length(platform) BETWEEN 1 AND 80),
    -- What the session store keeps for the web framework. Never a secret.
    data jsonb NOT NULL DEFAULT '{}',
    ended_at timestamptz,
    end_reason text CHECK (end_reason IN ('signed_out', 'signed_out_everywhere', 'revoked', 'revoked_by_admin',
        'password_changed', 'session_limit', 'idle_timeout', 'lifetime_exceeded', 'account_disabled', 'token_reuse',
        'client_changed')),
    -- What an administrator wrote for the person to read.
    end_note text CHECK (char_length(end_note) BETWEEN 1 AND 200),
    -- Who ended it, and from which session; nobody where time or a rule did.
    ended_by uuid,
    ended_by_session uuid,
    CONSTRAINT an_ended_session_has_a_reason CHECK ((ended_at IS NULL) = (end_reason IS NULL)),
    CONSTRAINT only_an_ended_session_was_ended_by_someone
        CHECK (ended_at IS NOT NULL OR (ended_by IS NULL AND ended_by_session IS NULL AND end_note IS NULL)),
    CONSTRAINT a_desktop_session_has_a_device CHECK ((kind = 'desktop') = (device IS NOT NULL)),
    CONSTRAINT an_access_token_has_an_end CHECK ((kind = 'desktop') = (credential_expires_at IS NOT NULL))
);
CREATE INDEX sessions_open_of_user ON sessions (user_id, last_active_at DESC) WHERE ended_at IS NULL;
CREATE INDEX sessions_of_user ON sessions (user_id, created_at DESC);
CREATE UNIQUE INDEX sessions_one_open_a_device ON sessions (device) WHERE ended_at IS NULL AND device IS NOT NULL;
CREATE INDEX sessions_ended ON sessions (ended_at) WHERE ended_at IS NOT NULL;

CREATE TABLE refresh_tokens (
    id uuid PRIMARY KEY,
    session_id uuid NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    -- The token that this one took over from.
    parent_id uuid UNIQUE REFERENCES refresh_tokens (id) ON DELETE CASCADE,
    token_hash bytea NOT NULL UNIQUE CHECK (octet_length(token_hash) = 32),
    created_at timestamptz NOT NULL,
    used_at timestamptz
);
CREATE UNIQUE INDEX refresh_tokens_one_current_a_session ON refresh_tokens (session_id) WHERE used_at IS NULL;

-- The one definition of a live session: `live_until > now`. Checks, lists, counts and revocations all read it.
CREATE VIEW session_state AS
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
    END AS live_until
FROM sessions s
JOIN users u ON u.id = s.user_id
LEFT JOIN devices d ON d.id = s.device
LEFT JOIN memberships m ON m.user_id = s.user_id AND m.organization_id = s.organization_id
LEFT JOIN organizations o ON o.id = m.organization_id
JOIN role_policies p ON p.role = CASE WHEN u.role = 'system_admin' THEN u.role ELSE COALESCE(m.role, u.role) END;

-- Why a session that is not live at that time is over: what was written down, or what has run out meanwhile.
CREATE FUNCTION end_reason_at(s session_state, at timestamptz) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT CASE
        WHEN s.end_reason IS NOT NULL THEN s.end_reason
        WHEN s.disabled_at IS NOT NULL THEN 'account_disabled'
        WHEN s.lifetime_expires_at <= at THEN 'lifetime_exceeded'
        WHEN s.idle_expires_at <= at THEN 'idle_timeout'
        -- The person's epoch has moved on: everything of theirs was ended.
        ELSE 'signed_out_everywhere'
    END
$$;
