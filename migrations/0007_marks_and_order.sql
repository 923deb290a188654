-- The mark of the browser that a session began in: what is known of a browser depends on what became of its sessions.
ALTER TABLE sessions ADD COLUMN known_browser bytea CHECK (octet_length(known_browser) = 32);
CREATE INDEX security_notices_of_session ON security_notices (session_id);
