-- Writes the events that are made up into the audit log, in the order of their times, chained by their hashes.
DO $$
DECLARE
    numbers bigint[] := '{}';
    before  text;
    number  bigint := 0;
    one     record;
    chained text;
BEGIN
    FOR one IN SELECT * FROM made_events ORDER BY occurred_at, place LOOP
        number := number + 1;
        IF one.event = 'applied' THEN
            numbers[one.place] := number;
        ELSIF one.event = 'checklist_item' THEN
            one.details := one.details || jsonb_build_object('run', numbers[-(one.details ->> 'run')::int]);
        END IF;
        chained := migration_event_hash(before, number, one.occurred_at, one.event, one.migration_name,
                                        one.attempt_id, one.database_user, one.client, one.reason, one.details);
        INSERT INTO migration_events VALUES (number, one.occurred_at, one.event, one.migration_name,
            one.attempt_id, one.database_user, one.client, one.reason, one.details, before, chained);
        before := chained;
    END LOOP;
END $$
