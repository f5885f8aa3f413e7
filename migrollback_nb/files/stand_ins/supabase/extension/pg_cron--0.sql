-- Jobs are kept and never run. https://github.com/citusdata/pg_cron
CREATE SCHEMA cron;
CREATE TABLE cron.job (
    jobid bigserial PRIMARY KEY, schedule text NOT NULL, command text NOT NULL,
        nodename text NOT NULL DEFAULT 'localhost', nodeport integer NOT NULL DEFAULT 5432,
    database text NOT NULL DEFAULT current_database(), username text NOT NULL DEFAULT current_user,
        active boolean NOT NULL DEFAULT true, jobname text,
    UNIQUE (jobname, username)
);
CREATE TABLE cron.job_run_details (
    jobid bigint, runid bigserial PRIMARY KEY, job_pid integer, database text, username text, command text, status text,
        return_message text, start_time timestamptz, end_time timestamptz
);
CREATE FUNCTION cron.schedule(schedule text, command text) RETURNS bigint LANGUAGE sql AS
    'INSERT INTO cron.job (schedule, command) VALUES ($1, $2) RETURNING jobid';
CREATE FUNCTION cron.schedule(job_name text, schedule text, command text) RETURNS bigint LANGUAGE sql AS
    'INSERT INTO cron.job (jobname, schedule, command) VALUES ($1, $2, $3) ON CONFLICT (jobname, username) DO UPDATE '
    'SET schedule = $2, command = $3 RETURNING jobid';
CREATE FUNCTION cron.schedule_in_database(job_name text, schedule text, command text, database text,
                                          username text DEFAULT NULL,
                                              active boolean DEFAULT true) RETURNS bigint LANGUAGE sql AS
    'SELECT cron.schedule($1, $2, $3)';
CREATE FUNCTION cron.alter_job(job_id bigint, schedule text DEFAULT NULL, command text DEFAULT NULL,
                               database text DEFAULT NULL, username text DEFAULT NULL, active boolean DEFAULT NULL)
    RETURNS void LANGUAGE sql AS
    'UPDATE cron.job j SET schedule = coalesce($2, j.schedule), command = coalesce($3, j.command), active = '
    'coalesce($6, j.active) WHERE j.jobid = $1';
-- as there: an unknown job is an error
CREATE FUNCTION cron.unschedule(job_id bigint) RETURNS boolean LANGUAGE plpgsql AS $function$
BEGIN
    DELETE FROM cron.job j WHERE j.jobid = $1;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'could not find valid entry for job %', $1;
    END IF;
    RETURN true;
END $function$;
CREATE FUNCTION cron.unschedule(job_name text) RETURNS boolean LANGUAGE plpgsql AS $function$
BEGIN
    DELETE FROM cron.job j WHERE j.jobname = $1;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'could not find valid entry for job ''%''', $1;
    END IF;
    RETURN true;
END $function$;
