-- In which organization somebody acted: an administrator of another one is not told of it.

-- The organization that the actor's session looked at. Null in older rows, and where nobody acted in one.
ALTER TABLE audit_events ADD COLUMN actor_organization_id uuid;

-- Whether administrators of an organization may know who did something to `subject`, from where, and what they wrote:
-- the subject did it, the operator or a rule, or somebody in that organization. Of rows from before this column nobody
-- knows where they acted: only members of no other organization count. System administrators act for the portal.
CREATE FUNCTION acted_within(organization uuid, actor uuid, subject uuid, actor_organization uuid) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT actor IS NULL OR actor IS NOT DISTINCT FROM subject OR EXISTS (
        SELECT 1 FROM users a WHERE a.id = actor AND a.role <> 'system_admin' AND CASE
            WHEN actor_organization IS NOT NULL THEN actor_organization = organization
            ELSE EXISTS (SELECT 1 FROM memberships m WHERE m.user_id = actor AND m.organization_id = organization)
                AND NOT EXISTS (SELECT 1 FROM memberships m WHERE m.user_id = actor AND m.organization_id <> organization)
        END
    )
$$;
