-- Who may sign in, and under which rules.

-- One row a role. The server writes its configured limits here at start, so that every node and every query
-- judges a session by the same figures, and a changed figure holds for the very next request.
CREATE TABLE role_policies (
    role text PRIMARY KEY,
    -- Seconds without activity after which a session is over.
    idle_seconds bigint NOT NULL CHECK (idle_seconds > 0),
    -- Seconds after which a session is over whatever happens.
    lifetime_seconds bigint NOT NULL CHECK (lifetime_seconds > 0),
    max_sessions integer NOT NULL CHECK (max_sessions > 0)
);

INSERT INTO role_policies (role, idle_seconds, lifetime_seconds, max_sessions) VALUES
    ('guest', 86400, 604800, 5),
    ('employee', 28800, 86400, 2),
    ('vendor', 43200, 86400, 3),
    ('broker', 43200, 86400, 5),
    ('admin', 14400, 43200, 2),
    ('system_admin', 14400, 43200, 2);

CREATE TABLE organizations (
    id uuid PRIMARY KEY,
    name text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 120),
    created_at timestamptz NOT NULL
);
CREATE UNIQUE INDEX organizations_name ON organizations (lower(name));

CREATE TABLE users (
    id uuid PRIMARY KEY,
    email text NOT NULL CHECK (char_length(email) BETWEEN 3 AND 254),
    display_name text NOT NULL CHECK (char_length(display_name) BETWEEN 1 AND 120),
    -- The role outside any organization; a membership's role comes first. `system_admin` counts everywhere.
    role text NOT NULL REFERENCES role_policies (role),
    -- An argon2id string in PHC format.
    password_hash text NOT NULL,
    password_changed_at timestamptz NOT NULL,
    -- Raised by "sign out everywhere": a sign-in that looked at the password before may not insert after.
    session_epoch bigint NOT NULL DEFAULT 0,
    disabled_at timestamptz,
    created_at timestamptz NOT NULL
);
CREATE UNIQUE INDEX users_email ON users (lower(email));

CREATE TABLE memberships (
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    organization_id uuid NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    role text NOT NULL REFERENCES role_policies (role) CHECK (role <> 'system_admin'),
    created_at timestamptz NOT NULL,
    PRIMARY KEY (user_id, organization_id)
);
CREATE INDEX memberships_organization ON memberships (organization_id);
