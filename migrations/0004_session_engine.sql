-- Limits, rotation, refresh, throttling, notices, clean-up.

ALTER TABLE sessions
    -- The browser's cookie is to be replaced with its next request: what the session may do has changed.
    ADD COLUMN rotation_due boolean NOT NULL DEFAULT false;

-- Clean-up finds what may have run out without reading every session.
CREATE INDEX sessions_open_by_activity ON sessions (last_active_at) WHERE ended_at IS NULL;
CREATE INDEX sessions_open_by_age ON sessions (created_at) WHERE ended_at IS NULL;
-- "Which sessions did this one end?"
CREATE INDEX sessions_ended_by ON sessions (ended_by_session) WHERE ended_by_session IS NOT NULL;

ALTER TABLE refresh_tokens
    -- With the token itself it gives the successor once more, for an answer that was lost. Worth nothing alone, and
    -- erased when the successor is used.
    ADD COLUMN successor_salt bytea CHECK (octet_length(successor_salt) = 32);

-- The networks that a session was used from: /24 of IPv4, /48 of IPv6.
CREATE TABLE session_networks (
    session_id uuid NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    network cidr NOT NULL,
    first_seen_at timestamptz NOT NULL,
    PRIMARY KEY (session_id, network)
);
INSERT INTO session_networks (session_id, network, first_seen_at)
SELECT id, network(set_masklen(ip_address, CASE family(ip_address) WHEN 4 THEN 24 ELSE 48 END))::cidr, created_at
FROM sessions;

-- Browsers that have signed in to an account before, by a cookie of their own. No credential: it opens nothing.
CREATE TABLE known_browsers (
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    token_hash bytea NOT NULL CHECK (octet_length(token_hash) = 32),
    created_at timestamptz NOT NULL,
    last_used_at timestamptz NOT NULL,
    PRIMARY KEY (user_id, token_hash)
);
CREATE INDEX known_browsers_token ON known_browsers (token_hash);

-- Password checks that were taken and not given back, by account, address or known device; shared by all nodes.
CREATE TABLE password_attempts (
    -- SHA-256 of what is counted.
    bucket bytea PRIMARY KEY CHECK (octet_length(bucket) = 32),
    window_ends_at timestamptz NOT NULL,
    taken integer NOT NULL CHECK (taken >= 0),
    -- The first refusal of the window is on record.
    refused boolean NOT NULL DEFAULT false
);
CREATE INDEX password_attempts_window ON password_attempts (window_ends_at);

-- What a person is asked about: "Was this you?"
CREATE TABLE security_notices (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    session_id uuid NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    at timestamptz NOT NULL,
    -- Why it was raised, most telling first.
    rules text[] NOT NULL CHECK (cardinality(rules) > 0),
    ip_address inet NOT NULL,
    -- Refused sign-ins just before, where that is a reason.
    failures integer,
    dismissed_at timestamptz
);
CREATE INDEX security_notices_open ON security_notices (user_id, at DESC) WHERE dismissed_at IS NULL;

-- When each job last ran, and what it did.
CREATE TABLE job_runs (
    job text PRIMARY KEY,
    started_at timestamptz NOT NULL,
    -- NULL: under way, or cut off.
    finished_at timestamptz,
    report jsonb NOT NULL DEFAULT '{}'
);

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
    s.rotation_due
FROM sessions s
JOIN users u ON u.id = s.user_id
LEFT JOIN devices d ON d.id = s.device
LEFT JOIN memberships m ON m.user_id = s.user_id AND m.organization_id = s.organization_id
LEFT JOIN organizations o ON o.id = m.organization_id
JOIN role_policies p ON p.role = CASE WHEN u.role = 'system_admin' THEN u.role ELSE COALESCE(m.role, u.role) END;
