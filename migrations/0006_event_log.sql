-- A client whose stream broke off reads on in its person's events.
CREATE INDEX session_events_of_user ON session_events (user_id, id);
