-- Creates the role of the running server and grants its rights. The role may not change or remove audit rows.
-- Repeating it changes nothing. It is one transaction, so that running servers never lack a right.
DO $$
DECLARE
    -- Since version 16, a member may lack the permission to set the role.
    right_to_take_on text := CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END;
    found record;
    wanted text;
    given text;
BEGIN
    PERFORM pg_advisory_xact_lock(7022750921764881201);
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'broker_portal_server') THEN
        CREATE ROLE broker_portal_server NOLOGIN;
    END IF;
    IF NOT pg_has_role(current_user, 'broker_portal_server', right_to_take_on) THEN
        GRANT broker_portal_server TO CURRENT_USER;
    END IF;
    IF NOT EXISTS (
        SELECT FROM pg_namespace n, aclexplode(n.nspacl) given_right
        WHERE n.nspname = current_schema() AND given_right.grantee = 'broker_portal_server'::regrole
            AND given_right.privilege_type = 'USAGE'
    ) THEN
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO broker_portal_server', current_schema());
    END IF;

    -- Only our own objects, not those of extensions.
    FOR found IN
        SELECT c.oid, c.oid::regclass AS name, c.relname, c.relkind, c.relacl FROM pg_class c
        WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'S')
            AND pg_has_role(current_user, c.relowner, 'USAGE')
    LOOP
        wanted := CASE
            WHEN found.relkind = 'S' THEN 'SELECT, USAGE'
            -- A view is used with the rights of its owner.
            WHEN found.relkind IN ('v', 'm') THEN 'SELECT'
            WHEN found.relname IN ('audit_events', 'audit_chain') THEN 'INSERT, SELECT'
            WHEN found.relname = 'audit_unsealed' THEN 'DELETE, SELECT'
            WHEN found.relname = '_sqlx_migrations' THEN 'SELECT'
            ELSE 'DELETE, INSERT, SELECT, UPDATE'
        END;
        SELECT string_agg(given_right.privilege_type, ', ' ORDER BY given_right.privilege_type COLLATE "C") INTO given
        FROM (
            SELECT * FROM aclexplode(found.relacl)
            -- Rights on single columns are not wanted.
            UNION ALL SELECT given_to_column.* FROM pg_attribute a, aclexplode(a.attacl) given_to_column
            WHERE a.attrelid = found.oid
        ) given_right
        WHERE given_right.grantee = 'broker_portal_server'::regrole;
        -- Skip rights that are granted already, which would write to the catalogue at each start.
        CONTINUE WHEN given IS NOT DISTINCT FROM wanted;
        EXECUTE format('REVOKE ALL ON %s FROM broker_portal_server', found.name);
        EXECUTE format(
            'GRANT %s ON %s %s TO broker_portal_server',
            wanted,
            CASE WHEN found.relkind = 'S' THEN 'SEQUENCE' ELSE 'TABLE' END,
            found.name
        );
    END LOOP;
    FOR found IN
        SELECT p.oid::regprocedure AS name FROM pg_proc p
        WHERE p.pronamespace = current_schema()::regnamespace AND pg_has_role(current_user, p.proowner, 'USAGE')
            AND NOT EXISTS (
                SELECT FROM aclexplode(p.proacl) given_right
                WHERE given_right.grantee = 'broker_portal_server'::regrole
            )
    LOOP
        EXECUTE format('GRANT EXECUTE ON ROUTINE %s TO broker_portal_server', found.name);
    END LOOP;
END
$$
