-- ---------------------------------------------------------------------------------------------------
-- The operators' gate for ranges and for attempts with an id of the caller's own. SECURITY DEFINER, as the rest of it.
-- ---------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION migrollback_schema.range_through_gate(
    names text[] DEFAULT NULL, back_to text DEFAULT NULL, last int DEFAULT NULL, since timestamptz DEFAULT NULL,
    deploy text DEFAULT NULL, chain boolean DEFAULT false)
RETURNS text[]
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    PERFORM migrollback_schema.refuse_operator_session();
    RETURN migrollback_schema.migrations_of_range(names, back_to, last, since, deploy, chain);
END $function$;
COMMENT ON FUNCTION migrollback_schema.range_through_gate(text[], text, int, timestamptz, text, boolean) IS
    'Which migrations a range means, in the order of their rollback: migrations_of_range() for an operator. Does not '
    'write.';

CREATE OR REPLACE FUNCTION migrollback_schema.attempts_through_gate(attempt_ids uuid[], wait boolean DEFAULT true)
RETURNS TABLE (event_number bigint, occurred_at timestamptz, event text, migration_name text, attempt_id uuid,
               hash text, details jsonb)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    PERFORM migrollback_schema.refuse_others_attempt(i.id) FROM unnest(attempt_ids) AS i (id);
    IF wait THEN                        -- of one that is at work, "not yet" would be a wrong answer
        PERFORM migrollback_schema.lock_migrations();
    END IF;
    RETURN QUERY
    SELECT e.event_number, e.occurred_at, e.event, e.migration_name, e.attempt_id, e.hash,
           migrollback_schema.without_row_values(e.details)
      FROM migrollback_schema.migration_events e
     WHERE e.attempt_id = ANY (attempt_ids) AND e.event IN ('started', 'rolled_back', 'failed', 'refused')
     ORDER BY e.event_number;
END $function$;
COMMENT ON FUNCTION migrollback_schema.attempts_through_gate(uuid[], boolean) IS
    'How attempts of this person began and ended: their events, in order. wait: for one that is at work. SQLSTATE '
    'MR030: one is another person''s. Does not write.';
