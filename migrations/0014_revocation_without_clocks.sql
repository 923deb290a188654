-- Revocations that compare no timestamps of different nodes, and sessions that end when they expired.

-- The order in which sessions were created, over all nodes, whatever their clocks say. NULL: created before this column, or
-- by an older server.
ALTER TABLE sessions ADD COLUMN number bigint;
CREATE SEQUENCE session_numbers OWNED BY sessions.number;

-- Why a session that is not live at that time is over: what was recorded, or what came first of its limits and of the
-- account being disabled. Older servers use end_reason_at.
CREATE FUNCTION session_end_reason(s session_state, at timestamptz) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT CASE
        WHEN s.end_reason IS NOT NULL THEN s.end_reason
        WHEN LEAST(s.idle_expires_at, s.lifetime_expires_at) <= at
            AND (s.disabled_at IS NULL OR LEAST(s.idle_expires_at, s.lifetime_expires_at) < s.disabled_at)
        THEN CASE WHEN s.idle_expires_at < s.lifetime_expires_at THEN 'idle_timeout' ELSE 'lifetime_exceeded' END
        WHEN s.disabled_at IS NOT NULL THEN 'account_disabled'
        -- The user's epoch has moved on: everything of theirs was ended.
        ELSE 'signed_out_everywhere'
    END
$$;

-- Since when a session that is not live at that time is over.
CREATE FUNCTION session_end_time(s session_state, at timestamptz) RETURNS timestamptz LANGUAGE sql STABLE AS $$
    SELECT COALESCE(s.ended_at, LEAST(at, s.disabled_at, s.idle_expires_at, s.lifetime_expires_at))
$$;
