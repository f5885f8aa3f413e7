-- ---------------------------------------------------------------------------------------------------
-- Ledgers that keep only the newest version of each branch (Alembic): what that says of the others. Reads only.
-- ---------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION migrollback_schema.revisions_before(heads text[], migrations jsonb) RETURNS text[]
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
    WITH RECURSIVE node AS MATERIALIZED (
        SELECT m ->> 'version' AS version, m -> 'parents' AS parents FROM jsonb_array_elements(migrations) m
         WHERE m ->> 'tool' = 'Alembic' AND jsonb_typeof(m -> 'parents') = 'array'
        UNION ALL
        SELECT h.migration_version, h.metadata -> 'parents' FROM migrollback_schema.migration_history h
         WHERE h.metadata ->> 'tool' = 'Alembic' AND jsonb_typeof(h.metadata -> 'parents') = 'array'),
    -- one value to look each version up in: joined, all would be read again for each level of a long chain
    known AS MATERIALIZED (SELECT jsonb_object_agg(n.version, n.parents) AS parents FROM node n),
    reached (version) AS (
        SELECT unnest(heads)
        UNION
        SELECT p.parent FROM reached r
         CROSS JOIN LATERAL jsonb_array_elements_text((SELECT k.parents FROM known k) -> r.version) AS p (parent))
    -- of one that nothing here names it is not known what comes before it: all, for all that is known
    SELECT coalesce(array_agg(f.version), '{}')
      FROM (SELECT r.version FROM reached r
            UNION SELECT n.version FROM node n
             WHERE EXISTS (SELECT FROM unnest(heads) AS u (version)
                            WHERE NOT coalesce((SELECT k.parents FROM known k) ? u.version, false))) f
$function$;
COMMENT ON FUNCTION migrollback_schema.revisions_before(text[], jsonb) IS
    'The versions of Alembic that are applied where these are the newest: they, and all that come before them by '
    'migrations (an array of objects: version, tool, parents) and by what is registered. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.revisions_after_undoing(
    version text, heads text[], metadata jsonb) RETURNS text[]
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    parents text[] := ARRAY(SELECT jsonb_array_elements_text(metadata -> 'parents'));
    below   text[] := migrollback_schema.revisions_before(array_remove(heads, version), '[]'::jsonb);
BEGIN
    -- those that come before another of them, by what it depends on, are no newest ones
    RETURN ARRAY(SELECT p.parent FROM unnest(parents) AS p (parent)
                  WHERE p.parent <> ALL (below)
                    AND p.parent <> ALL (migrollback_schema.revisions_before(array_remove(parents, p.parent),
                                                                             '[]'::jsonb)));
END $function$;
COMMENT ON FUNCTION migrollback_schema.revisions_after_undoing(text, text[], jsonb) IS
    'The versions of Alembic that become the newest of their branches when this one (metadata: parents) is undone '
    'and was one of heads, as Alembic itself reckons them. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.not_a_head_reason(name text, version text, metadata jsonb) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    l     record;
    heads text[];
BEGIN
    IF metadata ->> 'tool' IS DISTINCT FROM 'Alembic' THEN     -- without a query: every check asks
        RETURN NULL;
    END IF;
    SELECT * INTO l FROM migrollback_schema.deploy_ledger('Alembic', metadata ->> 'search_path');
    IF NOT FOUND OR l.untrusted IS NOT NULL THEN
        RETURN NULL;
    END IF;
    EXECUTE format('SELECT coalesce(array_agg(a.key ORDER BY a.key), ''{}'') FROM (' || l.applied || ') AS a (key)',
                   l.ledger) INTO heads;
    IF version = ANY (heads) OR NOT version = ANY (migrollback_schema.revisions_before(heads, '[]'::jsonb)) THEN
        RETURN NULL;
    END IF;
    RETURN format('The ledger %s is at %s, which comes after it: run migrollback sync and roll that back first, or go '
                  'back to %s with alembic downgrade', l.ledger::regclass, array_to_string(heads, ', '), version);
END $function$;
COMMENT ON FUNCTION migrollback_schema.not_a_head_reason(text, text, jsonb) IS
    'Why a migration of Alembic may not be rolled back though nothing that is registered depends on it: the ledger '
    'is at a later one; NULL where it is at this one, and for other tools. Does not write.';
