-- Answers that bring a new credential can be lost on their way.

-- The cookie that was replaced last, for as long as nothing has come with the new one: the browser may not have received it. It
-- opens nothing.
CREATE TABLE replaced_cookies (
    session_id uuid PRIMARY KEY REFERENCES sessions (id) ON DELETE CASCADE,
    -- SHA-256 of the old cookie.
    credential_hash bytea NOT NULL UNIQUE CHECK (octet_length(credential_hash) = 32),
    replaced_at timestamptz NOT NULL
);

-- Where a refresh token was exchanged. NULL: it was not, or before this column.
ALTER TABLE refresh_tokens ADD COLUMN used_from inet;
-- How a refresh token came to be shown again: `lost_answer` or `two_holders`. NULL for other notices.
ALTER TABLE security_notices ADD COLUMN cause text;
