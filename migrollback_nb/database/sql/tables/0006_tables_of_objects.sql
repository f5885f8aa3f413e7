-- Version 0.2.0: to which table an index, statistics or a sequence belongs, also when it is no more.

ALTER TABLE migrollback_schema.migration_objects ADD COLUMN table_identity text;

UPDATE migrollback_schema.migration_objects o
   SET table_identity = coalesce(
           (SELECT format('%I.%I', n.nspname, c.relname) FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
              JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE i.indexrelid = o.object_id AND o.class_id = 'pg_class'::regclass AND o.recorded_in = o.tableoid),
           (SELECT s.objects #>> ARRAY['index', o.identity, 'on'] FROM migrollback_schema.migration_snapshots s
             WHERE s.objects #> ARRAY['index', o.identity] IS NOT NULL ORDER BY s.taken_at DESC LIMIT 1))
 WHERE o.kind = 'index';
