-- ---------------------------------------------------------------------------------------------------
-- Production: a database that is marked so is rolled back only with a reason, for every caller and client.
-- ---------------------------------------------------------------------------------------------------

-- The mark is the last event of its kind: only who may write the audit log can set it, and who took it away, when and
-- why stays readable.
-- Not a setting of the database: any session could set that otherwise. A copy of the database has it too, which is the
-- safe side.
CREATE OR REPLACE FUNCTION migrollback_schema.is_production_database() RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
    -- a plan kept from when the table was empty would scan it whole when it is full
    SET enable_seqscan = off AS $function$
BEGIN
    RETURN coalesce((SELECT e.event = 'marked_production' FROM migrollback_schema.migration_events e
                      WHERE e.event IN ('marked_production', 'unmarked_production')
                        ORDER BY e.event_number DESC LIMIT 1), false);
END $function$;
COMMENT ON FUNCTION migrollback_schema.is_production_database() IS
    'Whether this database is marked as production by mark_production_database(). Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.mark_production_database(
    production boolean DEFAULT true, reason text DEFAULT NULL, client text DEFAULT NULL)
RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    IF production IS NULL THEN
        RAISE EXCEPTION 'whether this database is production was not said'
            USING ERRCODE = 'MR006', HINT = 'Say true or false.';
    ELSIF NOT production AND coalesce(btrim(reason, E' \t\r\n'), '') = '' THEN
        RAISE EXCEPTION 'why this database is not production was not said'
            USING ERRCODE = 'MR006', HINT = 'Give a reason: it goes into the audit log.';
    END IF;
    PERFORM migrollback_schema.lock_migrations();   -- a rollback that is running ends under the rule it began under
    IF migrollback_schema.is_production_database() = production THEN
        RETURN false;
    END IF;
    PERFORM migrollback_schema.add_migration_event(
        CASE WHEN production THEN 'marked_production' ELSE 'unmarked_production' END, NULL::text, NULL::uuid,
            mark_production_database.reason,
        mark_production_database.client, '{}'::jsonb);
    RETURN true;
END $function$;
COMMENT ON FUNCTION migrollback_schema.mark_production_database(boolean, text, text) IS
    'Writes: marks this database as production, where a rollback needs a reason; or, with false and a reason, takes '
    'the mark away. One event of the audit log, which is the mark. Returns whether anything was changed.';

CREATE OR REPLACE FUNCTION migrollback_schema.production_refusal(reason text) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    RETURN CASE WHEN coalesce(btrim(reason, E' \t\r\n'), '') = '' AND migrollback_schema.is_production_database() THEN
                'This database is marked as production: a rollback here needs a reason (argument reason)' END;
END $function$;
COMMENT ON FUNCTION migrollback_schema.production_refusal(text) IS
    'Why a rollback with this reason, or without any, is refused where the database is marked as production; NULL '
    'when it is not. Does not write.';
