-- Where runs of fleets are kept whose state is to outlive one machine: in a database of the operators'.
CREATE SCHEMA IF NOT EXISTS migrollback_fleet;
COMMENT ON SCHEMA migrollback_fleet IS 'Runs of migrollback over many databases: what each target answered, in order.';

CREATE TABLE IF NOT EXISTS migrollback_fleet.run_entries (
    number      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id      uuid NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    entry       jsonb NOT NULL
);
COMMENT ON TABLE migrollback_fleet.run_entries IS
    'One row for each thing that happened in a run: begun, target started, target ended, stopped, finished.';
COMMENT ON COLUMN migrollback_fleet.run_entries.number IS 'Order of the entries.';
COMMENT ON COLUMN migrollback_fleet.run_entries.run_id IS 'The run, as printed when it began.';
COMMENT ON COLUMN migrollback_fleet.run_entries.recorded_at IS 'When it was recorded.';
COMMENT ON COLUMN migrollback_fleet.run_entries.entry IS 'What happened, with the target''s name; no password.';
CREATE INDEX IF NOT EXISTS run_entries_run ON migrollback_fleet.run_entries (run_id, number);

REVOKE ALL ON SCHEMA migrollback_fleet FROM PUBLIC;
REVOKE ALL ON TABLE migrollback_fleet.run_entries FROM PUBLIC;
