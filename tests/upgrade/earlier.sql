-- A database of the tool that came before: the tables of the specification, its four functions as that tool has them
-- (arguments, SECURITY DEFINER, snapshots kept in the metadata), and rows as it writes them.
-- stands for the one of the extension uuid-ossp
CREATE FUNCTION public.uuid_generate_v4() RETURNS uuid AS $$ SELECT gen_random_uuid() $$ LANGUAGE sql;

CREATE TABLE public.migration_history (
    id uuid PRIMARY KEY DEFAULT uuid_generate_v4(),
    migration_name text NOT NULL UNIQUE,
    migration_version text NOT NULL,
    applied_at timestamptz DEFAULT now(),
    applied_by text DEFAULT current_user,
    rollback_sql text,
    checksum text,
    status text DEFAULT 'applied' CHECK (status IN ('applied', 'rolled_back', 'failed')),
    rollback_at timestamptz,
    rollback_by text,
    notes text,
    metadata jsonb DEFAULT '{}'::jsonb
);
CREATE INDEX idx_migration_history_version ON public.migration_history (migration_version);
CREATE INDEX idx_migration_history_applied_at ON public.migration_history (applied_at DESC);
CREATE TABLE public.migration_dependencies (
    id uuid PRIMARY KEY DEFAULT uuid_generate_v4(),
    migration_name text NOT NULL REFERENCES public.migration_history (migration_name),
    depends_on text NOT NULL REFERENCES public.migration_history (migration_name),
    created_at timestamptz DEFAULT now(),
    UNIQUE (migration_name, depends_on)
);
CREATE INDEX idx_migration_deps_depends_on ON public.migration_dependencies (depends_on);

CREATE FUNCTION public.can_rollback_migration(p_migration_name text)
RETURNS TABLE (can_rollback boolean, reason text, dependent_migrations text[]) AS $$
    SELECT coalesce(h.status = 'applied', false), 'as the earlier tool says', ARRAY[]::text[]
    FROM (VALUES (p_migration_name)) n (name)
    LEFT JOIN public.migration_history h ON h.migration_name = n.name
$$ LANGUAGE sql SECURITY DEFINER;
CREATE FUNCTION public.execute_migration_rollback(p_migration_name text, p_dry_run boolean DEFAULT false)
RETURNS TABLE (success boolean, message text, sql_executed text) AS $$
BEGIN
    RETURN QUERY SELECT true, 'as the earlier tool does', NULL::text;
END;
$$ LANGUAGE plpgsql SECURITY DEFINER;
CREATE FUNCTION public.list_rollbackable_migrations()
RETURNS TABLE (migration_name text, migration_version text, applied_at timestamptz, has_rollback_sql boolean,
               can_rollback boolean, blocking_reason text) AS $$
    SELECT h.migration_name, h.migration_version, h.applied_at, h.rollback_sql <> '', c.can_rollback, c.reason
    FROM public.migration_history h CROSS JOIN LATERAL public.can_rollback_migration(h.migration_name) c
$$ LANGUAGE sql SECURITY DEFINER;
CREATE FUNCTION public.create_migration_snapshot(p_migration_name text, p_description text DEFAULT NULL)
RETURNS uuid AS $$
    SELECT gen_random_uuid()
$$ LANGUAGE sql SECURITY DEFINER;
COMMENT ON TABLE public.migration_history IS 'Tracks all database migrations';
COMMENT ON FUNCTION public.can_rollback_migration IS 'Validates whether it can be rolled back';

CREATE TABLE public.users (id int, email text);
CREATE TABLE public.settings (id int);
CREATE TABLE public.orders (id int);
INSERT INTO public.migration_history (migration_name, migration_version, applied_at, applied_by, rollback_sql, checksum,
                                      status, rollback_at, rollback_by, notes, metadata) VALUES
    ('20250119_users', '20250119_users', '2025-01-19 10:00Z', 'service_role', 'DROP TABLE users;', repeat('a', 64),
     'applied', NULL, NULL, 'by hand', '{"ticket": "OPS-1", "snapshot": {"id": 1, "schema": {"tables": null}}}'),
    ('20250120_migration_rollback_system', '20250120_migration_rollback_system', '2025-01-20 10:00Z', 'service_role',
     'DROP TABLE IF EXISTS public.migration_history CASCADE;', repeat('b', 64), 'applied', NULL, NULL, NULL, '{}'),
    ('20250121_settings', '20250121_settings', '2025-01-21 10:00Z', 'service_role', 'DROP TABLE settings;',
     repeat('c', 64), 'applied', '2025-01-21 11:00Z', 'anna', NULL, NULL),
    ('20250122_gone', '20250122_gone', '2025-01-22 10:00Z', 'service_role', 'DROP TABLE gone;', repeat('d', 64),
     'rolled_back', '2025-01-23 10:00Z', 'anna', NULL, '{"system": true, "tool": "x"}'),
    ('20250124_orders', '20250124_orders', '2025-01-24 10:00Z', 'service_role', 'DROP TABLE nothing;', repeat('e', 64),
     'failed', NULL, NULL, 'Rollback failed: table "nothing" does not exist', '{}'),
    ('by_hand', '7', '2025-01-25 10:00Z', 'bob', NULL, NULL, 'applied', NULL, NULL, NULL, '{}');
INSERT INTO public.migration_dependencies (migration_name, depends_on, created_at) VALUES
    ('20250121_settings', '20250119_users', '2025-01-21 10:00Z'),
    ('20250124_orders', '20250119_users', '2025-01-24 10:00Z');
