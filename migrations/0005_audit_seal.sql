-- The audit log can be trusted: nobody changes it, and its rows are sealed into a hash chain.

-- Rows that are not sealed yet. Filled by a trigger, in the transaction of the row, so that a server that knows nothing
-- of the chain takes part.
CREATE TABLE audit_unsealed (
    event_id bigint PRIMARY KEY
);

-- One entry a sealed row, without gaps from 1. What is hashed is told in `docs/security.md`. It takes in every column of
-- `audit_events` that is not null: a column added later has to be null in the rows that are there, and none may be renamed.
CREATE TABLE audit_chain (
    position bigint PRIMARY KEY CHECK (position > 0),
    -- No foreign key: a row that is gone must be missed, not in the way.
    event_id bigint NOT NULL UNIQUE,
    sealed_at timestamptz NOT NULL,
    hash bytea NOT NULL CHECK (octet_length(hash) = 32)
);

-- With the owner's rights: whoever may write the audit log need not be allowed to write the queue.
CREATE FUNCTION audit_await_seal() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO audit_unsealed (event_id) VALUES (NEW.id);
    RETURN NULL;
END
$$;
-- Otherwise a temporary table of the same name would catch the entries.
DO $$ BEGIN
    EXECUTE format('ALTER FUNCTION audit_await_seal() SET search_path = %I, pg_temp', current_schema());
END $$;

CREATE TRIGGER await_seal AFTER INSERT ON audit_events FOR EACH ROW EXECUTE FUNCTION audit_await_seal();

-- Holds for everyone, the owner of the table included.
CREATE FUNCTION audit_is_only_added_to() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'rows of % are never changed or removed', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END
$$;

CREATE TRIGGER only_added_to BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_events
    FOR EACH STATEMENT EXECUTE FUNCTION audit_is_only_added_to();
CREATE TRIGGER only_added_to BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_chain
    FOR EACH STATEMENT EXECUTE FUNCTION audit_is_only_added_to();

-- What was written before. CREATE TRIGGER holds the table until the commit, so that no row slips in between.
INSERT INTO audit_unsealed (event_id) SELECT id FROM audit_events;
