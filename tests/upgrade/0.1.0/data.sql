-- What a database of version 0.1.0 may hold: made by the functions of that version. "Ops1" stands for the schema.

CREATE SCHEMA app;

SELECT "Ops1".create_migration_snapshot('001_customers', NULL, 'before apply', '{001_customers,002_orders}', 'test');
SELECT * FROM "Ops1".apply_migration('001_customers', '001',
    ARRAY['CREATE TABLE app.customers (id int PRIMARY KEY, name text)', 'INSERT INTO app.customers VALUES (1, ''Ada'')'],
    rollback_sql => E'DROP TABLE app.customers;', checksum => 'abc', search_path => 'app, public',
    metadata => jsonb_build_object('description', 'customers', 'deploy', 'first', 'rollback', jsonb_build_object(
        'md5', md5('DROP TABLE app.customers;'), 'statements', '[[0, 24, 3]]'::jsonb, 'transaction', true, 'live', false,
        'refused_in_transaction', '[]'::jsonb, 'set_local', '[]'::jsonb, 'set_session', '[]'::jsonb,
        'not_undone', '[]'::jsonb, 'calls', '[]'::jsonb, 'writes', '[]'::jsonb, 'unseen', '[]'::jsonb)));
SELECT * FROM "Ops1".apply_migration('002_orders', '002',
    ARRAY['CREATE TABLE app.orders (id int PRIMARY KEY, customer int REFERENCES app.customers)'],
    rollback_sql => 'DROP TABLE app.orders;', depends_on => '{001_customers}', search_path => 'app, public');
SELECT "Ops1".create_migration_snapshot('002_orders', NULL, 'after apply', '{001_customers,002_orders}', 'test');

-- one that is inferred, one that was rolled back, one whose rollback failed, and one without rollback SQL
SELECT * FROM "Ops1".apply_migration('003_index', '003', ARRAY['CREATE INDEX by_name ON app.customers (name)'],
    rollback_sql => 'DROP INDEX app.by_name;');
SELECT * FROM "Ops1".record_migration_dependencies();
SELECT * FROM "Ops1".apply_migration('004_notes', '004', ARRAY['CREATE TABLE app.notes ()'],
    rollback_sql => 'DROP TABLE app.notes;');
SELECT "Ops1".start_migration_rollback('{004_notes}', '00000000-0000-0000-0000-000000000004', 'not wanted', 'test');
SELECT * FROM "Ops1".execute_migration_rollback('004_notes', reason => 'not wanted',
    attempt_id => '00000000-0000-0000-0000-000000000004', client => 'test');
SELECT * FROM "Ops1".apply_migration('005_fails', '005', ARRAY['CREATE TABLE app.fails ()'],
    rollback_sql => 'DROP TABLE app.fails; SELECT 1/0;');
SELECT * FROM "Ops1".execute_migration_rollback('005_fails', reason => 'try');
SELECT "Ops1".register_migration('006_plain', '006');
SELECT "Ops1".register_migrations('[{"name": "007_two", "version": "007", "rollback_sql": "SELECT 1"},
                                    {"name": "008_two", "version": "008", "depends_on": ["007_two"]}]');

-- a refusal, a rehearsal, a resolution, a deploy with a label, a note by hand, production
SELECT * FROM "Ops1".execute_migration_rollback('001_customers', reason => 'refused');
SELECT success, message FROM "Ops1".rehearse_migration_rollback('003_index');
SELECT "Ops1".resolve_migration('007_two', 'rolled_back', 'looked') WHERE false;
SELECT "Ops1".begin_migration_deploy('release 1');
UPDATE "Ops1".migration_history SET notes = 'by hand' WHERE migration_name = '006_plain';
SELECT "Ops1".mark_production_database(true, 'it is', 'test');
