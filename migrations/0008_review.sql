-- Administrators review sessions, and look after their people.

-- At the next sign-in a new password has to be chosen.
ALTER TABLE users ADD COLUMN password_change_required boolean NOT NULL DEFAULT false;

-- Ended sessions, by the orders that a list can have; those of open ones are in 0004.
CREATE INDEX sessions_ended_by_activity ON sessions (last_active_at) WHERE ended_at IS NOT NULL;
CREATE INDEX sessions_ended_by_age ON sessions (created_at) WHERE ended_at IS NOT NULL;
CREATE INDEX sessions_open_by_address ON sessions (ip_address) WHERE ended_at IS NULL;
CREATE INDEX sessions_ended_by_address ON sessions (ip_address) WHERE ended_at IS NOT NULL;

-- The audit log, by what it is asked for: what became of a session, what someone did, what kind of thing, from where.
CREATE INDEX audit_events_of_session ON audit_events (session_id, id) WHERE session_id IS NOT NULL;
CREATE INDEX audit_events_by_actor ON audit_events (actor_id, id) WHERE actor_id IS NOT NULL;
CREATE INDEX audit_events_by_address ON audit_events (ip_address, id) WHERE ip_address IS NOT NULL;
