-- What happened: for people to answer for (audit) and for clients to be told (events).

-- No foreign keys: the record outlives what it speaks of.
CREATE TABLE audit_events (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL,
    kind text NOT NULL CHECK (char_length(kind) BETWEEN 1 AND 60),
    -- Who did it, from which session; nobody where nobody was signed in or the system did.
    actor_id uuid,
    actor_session_id uuid,
    -- Whom and which session it was done to.
    user_id uuid,
    session_id uuid,
    ip_address inet,
    reason text CHECK (char_length(reason) <= 200),
    -- Further facts, by kind. Never a secret.
    detail jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX audit_events_of_user ON audit_events (user_id, at DESC);

-- Read by every node's listener, in order of `id`; NOTIFY only wakes it.
CREATE TABLE session_events (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL,
    user_id uuid NOT NULL,
    session_id uuid,
    kind text NOT NULL CHECK (kind IN ('session_updated', 'session_ended', 'sessions_changed', 'organization_switched')),
    reason text,
    CONSTRAINT an_end_has_a_session_and_a_reason
        CHECK (kind <> 'session_ended' OR (session_id IS NOT NULL AND reason IS NOT NULL))
);
CREATE INDEX session_events_at ON session_events (at);
