-- The portal tells by itself when something is wrong, and how it has been doing.

-- What was, or is, wrong. Raised once over all nodes, until it clears.
CREATE TABLE alerts (
    id uuid PRIMARY KEY,
    rule text NOT NULL CHECK (char_length(rule) BETWEEN 1 AND 60),
    -- What it is about, where a rule can be about several: the name of a node. Empty for the portal as a whole.
    key text NOT NULL CHECK (char_length(key) <= 200),
    raised_at timestamptz NOT NULL,
    -- It was still so.
    last_seen_at timestamptz NOT NULL,
    cleared_at timestamptz,
    -- What was counted, for programs, and the same in a sentence. Never a secret.
    figures jsonb NOT NULL,
    message text NOT NULL CHECK (char_length(message) BETWEEN 1 AND 500)
);
CREATE UNIQUE INDEX alerts_one_open ON alerts (rule, key) WHERE cleared_at IS NULL;
CREATE INDEX alerts_by_time ON alerts (raised_at DESC);
CREATE INDEX alerts_cleared ON alerts (cleared_at) WHERE cleared_at IS NOT NULL;

-- What the webhook is told. Written in the transaction of what it tells of, sent afterwards.
CREATE TABLE alert_deliveries (
    -- The `webhook-id`: the same with every attempt.
    id uuid PRIMARY KEY,
    -- NULL for a test.
    alert_id uuid REFERENCES alerts (id) ON DELETE CASCADE,
    state text NOT NULL CHECK (state IN ('raised', 'cleared', 'test')),
    -- The body, byte for byte: it is signed as it is.
    payload text NOT NULL,
    created_at timestamptz NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    -- NULL: there is no further attempt.
    next_attempt_at timestamptz,
    delivered_at timestamptz,
    given_up_at timestamptz,
    last_error text CHECK (char_length(last_error) <= 200),
    CONSTRAINT a_delivery_waits_or_has_come_to_an_end
        CHECK (num_nonnulls(next_attempt_at, delivered_at, given_up_at) = 1),
    CONSTRAINT a_test_has_no_alert CHECK ((state = 'test') = (alert_id IS NULL))
);
CREATE INDEX alert_deliveries_due ON alert_deliveries (next_attempt_at) WHERE next_attempt_at IS NOT NULL;
CREATE INDEX alert_deliveries_of_alert ON alert_deliveries (alert_id, created_at);
CREATE INDEX alert_deliveries_by_time ON alert_deliveries (created_at DESC);

ALTER TABLE job_runs
    -- When it was last done to its end: `finished_at` is gone as soon as the next run begins.
    ADD COLUMN succeeded_at timestamptz;
UPDATE job_runs SET succeeded_at = finished_at;

-- How many sessions were live at a moment. Taken every few minutes by one node.
CREATE TABLE session_samples (
    at timestamptz NOT NULL,
    role text NOT NULL,
    kind text NOT NULL,
    live integer NOT NULL CHECK (live >= 0),
    PRIMARY KEY (at, role, kind)
);

-- What each node has counted in a minute: what is too frequent, or too short, for a row each.
CREATE TABLE node_minutes (
    minute timestamptz NOT NULL,
    node text NOT NULL CHECK (char_length(node) BETWEEN 1 AND 200),
    refreshes bigint NOT NULL,
    refresh_failures bigint NOT NULL,
    -- For each end of a session that streams of this node were told of: milliseconds from the end to the last of them.
    -- At most some hundreds a minute, the slowest in any case.
    closing_ms integer[] NOT NULL,
    PRIMARY KEY (minute, node)
);

-- What happened when, by kind: alerts look back over minutes, figures over days. With the person, for an organization's.
CREATE INDEX audit_events_by_kind ON audit_events (kind, at) INCLUDE (user_id);
