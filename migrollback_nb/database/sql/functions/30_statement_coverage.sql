-- ---------------------------------------------------------------------------------------------------
-- What runs is what is shown: the stored cut of a rollback into statements leaves nothing out but blanks, semicolons
-- and comments.
-- ---------------------------------------------------------------------------------------------------

-- standard_conforming_strings: the expressions of a function are read as the session has it, and these hold
-- backslashes.
-- Over 120 lines: one automaton over the text; a call for each state would cost more than the scan.
CREATE OR REPLACE FUNCTION migrollback_schema.scan_migration_sql(sql text, OUT ends_in text, OUT words text)
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    SET standard_conforming_strings = on AS $function$
DECLARE
    -- As PostgreSQL's own scanner has it: a letter, _ or any character beyond ASCII begins a name; digits and $ go on
    -- with it. Written by what is left out.
    other     constant text := '[\u0001-\u0023\u0025-\u002F\u003A-\u0040\u005B-\u005E\u0060\u007B-\u007F]';
    begins    constant text := '[^\u0001-\u0040\u005B-\u005E\u0060\u007B-\u007F]';
    goes_on   constant text := '[^\u0001-\u0023\u0025-\u002F\u003A-\u0040\u005B-\u005E\u0060\u007B-\u007F]';
    in_tag    constant text := '[^\u0001-\u002F\u003A-\u0040\u005B-\u005E\u0060\u007B-\u007F]';
    name_end  constant text := '(^|' || other || ')' || begins || goes_on || '*$';
    name_only constant text := '^' || goes_on || '*$';
    tag_only  constant text := '^(' || begins || in_tag || '*)?$';
    e_alone   constant text := '(^|' || other || ')[eE]$';
    -- Of a line that begins in code: it ends in code too, and no string ends it.
    plain     constant text := '^([^''"$\\/*-]|''[^''\\]*''|"[^"]*"|-[^''"$\\/*-]|[/*][^''"$\\/*-])*[^''"$\\/* '
                               '\t\f\v-][ \t\f\v]*(--[^\r]*\r?)?$';
    lines     text[] := string_to_array(sql, E'\n');
    line      text;
    number    int := 0;
    piece     text[];
    before    text;                     -- what stands before a sign that may change the state
    sign      text;
    first     text;                     -- character of the sign
    state     text := 'code';
    depth     int;                      -- of comments within comments
    tag       text;                     -- of a dollar quote
    dollar    boolean := false;         -- the sign before was a $: within a dollar quote, or one that may begin one
    in_name   boolean := false;         -- the sign before was a $ within a name
    escaped   boolean := false;         -- the sign before was a backslash that makes the next character a plain one
    -- how far behind the end of an E'' string this is, where it may go on: next to it, on its line, or on another line
    after_e   text := '';
    place     int;
    ending    int;
BEGIN
    words := '';
    FOREACH line IN ARRAY lines LOOP
        number := number + 1;
        IF number < cardinality(lines) THEN     -- most lines need no closer look
            CONTINUE WHEN line = '';
            CASE state
                WHEN 'code' THEN
                    CONTINUE WHEN line ~ '^[ \t\f\v]*(--[^\r]*\r?)?$';
                    IF line ~ plain THEN
                        after_e := '';
                        IF length(words) < 200 THEN
                            words := words || regexp_replace(line, '--.*$', '') || ' ';
                        END IF;
                        CONTINUE;
                    END IF;
                WHEN 'dollar quote' THEN
                    CONTINUE WHEN strpos(line, '$') = 0;
                WHEN 'comment' THEN
                    CONTINUE WHEN strpos(line, '/*') = 0 AND strpos(line, '*/') = 0;
                WHEN 'quoted name' THEN
                    CONTINUE WHEN strpos(line, '"') = 0;
                ELSE
                    CONTINUE WHEN strpos(line, '''') = 0;
            END CASE;
        END IF;
        -- The signs that matter and what stands between them, in one pass: it may be long.
        FOR piece IN SELECT regexp_matches(line, '([^-/*''"$\\\r]*)(-+|[*/]+|[''"$]|\\+|\r+|$)', 'g') LOOP
            before := piece[1];
            sign := piece[2];
            first := left(sign, 1);
            CASE state
                WHEN 'code' THEN
                    IF after_e <> '' THEN
                        after_e := CASE WHEN before ~ '[^ \t\f\v]' OR sign !~ '^(\r|''|--|/\*|$)' THEN ''
                            WHEN after_e = 'next' AND before = '' THEN 'next'
                                        WHEN after_e = 'next' THEN 'same line' ELSE after_e END;
                    END IF;
                    IF dollar THEN          -- $1 is a parameter, and what follows is another word
                        before := regexp_replace(before, '^[0-9]+', ' ');
                    END IF;
                    IF first = '''' THEN
                        state := CASE WHEN after_e IN ('next', 'other line') OR before ~ e_alone
                            AND NOT (in_name AND length(before) = 1) THEN 'escaped string' ELSE 'string' END;
                        escaped := false;
                    ELSIF first = '"' THEN
                        state := 'quoted name';
                    ELSIF first = '-' AND sign <> '-' THEN
                        state := 'line comment';
                    ELSIF first = '$' AND dollar AND before ~ tag_only THEN
                        state := 'dollar quote';
                        tag := before;
                    END IF;
                    IF first = '$' THEN
                        in_name := state = 'code' AND (before ~ name_end OR in_name AND before ~ name_only);
                        dollar := state = 'code' AND NOT in_name;
                    ELSE
                        in_name := false;
                        dollar := false;
                    END IF;
                    IF after_e <> '' THEN
                        after_e := CASE first WHEN '''' THEN '' WHEN E'\r' THEN 'other line' WHEN '' THEN after_e
                            ELSE 'same line' END;
                    END IF;
                    IF length(words) < 200 THEN     -- enough to tell BEGIN and COMMIT from anything else
                        words := words || before || CASE WHEN first IN ('', E'\r') OR state = 'line comment' THEN ' '
                            WHEN first IN ('*', '/') THEN '' ELSE sign END;
                    END IF;
                WHEN 'line comment' THEN
                    IF first = E'\r' THEN
                        state := 'code';
                        after_e := CASE WHEN after_e <> '' THEN 'other line' ELSE '' END;
                    END IF;
                WHEN 'string' THEN
                    IF first = '''' THEN
                        state := 'code';
                    END IF;
                WHEN 'escaped string' THEN
                    IF first = '''' AND NOT (escaped AND before = '') THEN
                        after_e := 'next';
                        state := 'code';
                    END IF;
                    escaped := first = '\' AND length(sign) % 2 = 1;
                WHEN 'quoted name' THEN
                    IF first = '"' THEN
                        state := 'code';
                    END IF;
                WHEN 'dollar quote' THEN
                    IF first = '$' AND dollar AND before = tag THEN
                        state := 'code';
                        dollar := false;
                    ELSE
                        dollar := first = '$';
                    END IF;
                ELSE
                    NULL;                   -- a comment between /* and */
            END CASE;
            -- a run of these may end a comment, and begin the next
            WHILE left(sign, 1) IN ('*', '/') AND state IN ('code', 'comment') LOOP
                place := strpos(sign, '/*');
                ending := strpos(sign, '*/');
                IF state = 'comment' AND ending > 0 AND (place = 0 OR ending < place) THEN
                    depth := depth - 1;
                    state := CASE WHEN depth = 0 THEN 'code' ELSE 'comment' END;
                    place := ending;
                ELSE
                    IF state = 'code' THEN
                        words := words || CASE WHEN place <> 1 THEN '*' ELSE ' ' END;       -- an operator
                    END IF;
                    EXIT WHEN place = 0;
                    depth := CASE WHEN state = 'code' THEN 1 ELSE depth + 1 END;
                    state := 'comment';
                END IF;
                sign := substr(sign, place + 2);
            END LOOP;
        END LOOP;
        IF number < cardinality(lines) AND state = 'line comment' THEN
            state := 'code';
        END IF;
        after_e := CASE WHEN after_e <> '' THEN 'other line' ELSE '' END;
        dollar := false;
        in_name := false;
        escaped := false;
    END LOOP;
    ends_in := state;
END $function$;
COMMENT ON FUNCTION migrollback_schema.scan_migration_sql(text) IS
    'Reads SQL as PostgreSQL''s own scanner does. ends_in: code, or what is open at its end: line comment, comment, '
    'string, escaped string (E''...), quoted name, dollar quote. words: the first of what stands outside of '
    'comments; of strings and quoted names no more than their signs. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.migration_coverage_problem(rollback_sql text, statements jsonb)
RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    SET standard_conforming_strings = on AS $function$
DECLARE
    bytes   bytea := convert_to(rollback_sql, 'UTF8');
    size    int := octet_length(bytes);
    count   int := jsonb_array_length(statements);
    behind  int := 0;                   -- first byte after the statement before
    place   int := 0;
    -- each character is a byte, and a sign is left to stand between the parts
    is_plain boolean := count <= 100 AND size = pg_catalog.length(rollback_sql) AND strpos(rollback_sql, E'\u0001') = 0;
    within  text := '';                 -- the statements, each behind that sign
    around  text := '';                 -- what stands before, between and after them
    start   int;
    length  int;
    text    text;
    between text;
    scanned record;
    wrapped boolean := false;
    blank   constant text := '[ \t\n\r\f\v;]*';
    -- Strings and quoted names that all end; a backslash only in E'' strings, which have no '' then.
    simple  constant text := '^([^''"\\]|''[^''\\]*''|"[^"]*"|'
        '[\u0001-\u0023\u0025-\u002F\u003A-\u0040\u005B-\u005E\u0060\u007B-\u007F][eE]''([^''\\]|\\.)*'')*$';
    -- The same of all statements at once, with no backslash, $ or comment in them; a - or / with what follows.
    simple_statements constant text := '^(\u0001|[^\u0001''"$\\/-]|''[^\u0001''\\]*''|"[^\u0001"]*"|'
        '-[^\u0001''"$\\/-]|/[^\u0001''"$\\/*-])*$';
    comment constant text := '--[^\u0001\r\n]*[\r\n]|/\*([^\u0001*/]|\*+[^\u0001*/])*\*+/';
    around_simple constant text := '^\u0001([ \t\n\r\f\v;]|' || comment || ')*(\u0001([ \t\n\r\f\v]|' || comment
        || ')*;([ \t\n\r\f\v;]|' || comment || ')*)*(\u0001([ \t\n\r\f\v;]|' || comment
        || ')*(--[^\u0001\r\n]*)?)$';
BEGIN
    -- Most are simple, and a list asks for each of thousands: without a query, by two expressions. What does not fit is
    -- looked at below, which says why.
    WHILE is_plain AND count > 0 LOOP
        start := coalesce((statements -> place -> 0)::int, size);
        length := coalesce((statements -> place -> 1)::int, 0);
        EXIT WHEN start < behind OR length > size - start;
        around := around || E'\u0001' || substr(rollback_sql, behind + 1, start - behind);
        IF place = count THEN
            IF within ~ simple_statements AND around ~ around_simple THEN
                RETURN NULL;
            END IF;
            EXIT;
        END IF;
        within := within || E'\u0001' || substr(rollback_sql, start + 1, length);
        behind := start + length;
        place := place + 1;
    END LOOP;
    behind := 0;
    place := 0;
    FOR start, length IN SELECT (s ->> 0)::int, (s ->> 1)::int FROM jsonb_array_elements(statements) AS s
        UNION ALL SELECT NULL, 0 LOOP
        place := place + 1;
        start := coalesce(start, size);             -- the last time round: what stands after the last statement
        IF start < behind OR length > size - start THEN
            RETURN format('statement %s is at bytes %s to %s: %s', place, start, start::bigint + length,
                          CASE WHEN start < behind THEN 'it overlaps the one before'
                              ELSE format('the SQL has %s', size) END);
        END IF;
        -- 10xxxxxx goes on with a character
        IF start < size AND get_byte(bytes, start) & 192 = 128 OR start + length < size
            AND get_byte(bytes, start + length) & 192 = 128 THEN
            RETURN format('statement %s is at bytes %s to %s, which cuts a character', place, start, start + length);
        END IF;
        between := convert_from(substring(bytes FROM behind + 1 FOR start - behind), 'UTF8');
        IF between !~ ('^' || blank || '$') THEN
            scanned := migrollback_schema.scan_migration_sql(between);
            IF scanned.ends_in NOT IN ('code', 'line comment') OR scanned.ends_in = 'line comment' AND start < size THEN
                RETURN format('statement %s begins inside a %s', place, scanned.ends_in);
            END IF;
            between := scanned.words;
            IF between !~ ('^' || blank || '$') THEN
                -- A text that is one BEGIN ... COMMIT says no more than that it is to run in a transaction.
                IF place = 1 AND count > 0
                    AND between ~* ('^' || blank
                        || '(begin([ \t\n\r\f\v]+(work|transaction))?|start[ \t\n\r\f\v]+transaction)[ \t\n\r\f\v]*;'
                            || blank || '$') THEN
                    wrapped := true;
                ELSIF wrapped AND place = count + 1 AND between ~* (
                        '^[ \t\n\r\f\v]*;' || blank || '(commit|end)([ \t\n\r\f\v]+(work|transaction))?([ '
                                                       '\t\n\r\f\v]+and[ \t\n\r\f\v]+no[ \t\n\r\f\v]+chain)?' || blank
                                                           || '$') THEN
                    wrapped := false;
                ELSE
                    RETURN format('%s stands more than blanks, semicolons and comments: %s',
                                  CASE WHEN count = 0 THEN 'there are none, and in it'
                                      WHEN place > count THEN 'after the last'
                                          ELSE format('before statement %s', place) END,
                                  left(btrim(between, E' \t\n\r\f\v;'), 60));
                END IF;
            END IF;
        END IF;
        IF place BETWEEN 2 AND count AND strpos(between, ';') = 0 THEN
            RETURN format('no semicolon stands between statements %s and %s', place - 1, place);
        END IF;
        EXIT WHEN place > count;
        text := convert_from(substring(bytes FROM start + 1 FOR length), 'UTF8');
        -- Most have nothing that needs a closer look.
        IF text ~ '--|/\*|\$' OR text !~ simple THEN
            scanned := migrollback_schema.scan_migration_sql(text);
            -- a comment after a statement may go with it, to the end of its line
            IF scanned.ends_in NOT IN ('code', 'line comment')
               OR scanned.ends_in = 'line comment' AND start + length < size
               AND get_byte(bytes, start + length) NOT IN (10, 13) THEN
                RETURN format('statement %s ends inside a %s', place, scanned.ends_in);
            END IF;
        END IF;
        behind := start + length;
    END LOOP;
    RETURN CASE WHEN wrapped THEN 'BEGIN is left out and COMMIT is not' END;
END $function$;
COMMENT ON FUNCTION migrollback_schema.migration_coverage_problem(text, jsonb) IS
    'Why these statements ([first byte, bytes, line] of the UTF-8 text) are not all of the SQL, or NULL: between '
    'them, and before and after, may stand only blanks, semicolons and comments, at least one semicolon between two, '
    'and BEGIN and COMMIT around them all. Their numbers must be sound: migration_metadata_problem() looks. Does not '
    'write.';

CREATE OR REPLACE FUNCTION migrollback_schema.is_destroyed_list("values" jsonb) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT CASE WHEN jsonb_typeof("values") = 'array' THEN NOT jsonb_path_exists("values", 'strict $[*] ? (
               @.type() != "object" || @.statement.type() != "number" || @.statement < 0
               || @.statement > 1073741823 || @.statement != @.statement.floor() || @.table.type() != "string"
               || !(@.what == "column dropped" || @.what == "table dropped" || @.what == "updated"
                    || @.what == "deleted" || @.what == "truncated" || @.what == "rewritten")
               || (exists(@.schema) && @.schema.type() != "string" && @.schema.type() != "null")
               || (exists(@.column) && @.column.type() != "string" && @.column.type() != "null")
               || (exists(@.of) && @.of.type() != "string")
               || (exists(@.type) && @.type.type() != "string")
               || (exists(@.certain) && @.certain.type() != "boolean")
               || (exists(@.where) && @.where.type() != "boolean")
               || (exists(@.cascade) && @.cascade.type() != "boolean")
               || (exists(@.cast) && @.cast.type() != "boolean")
               || (exists(@.explicit) && @.explicit.type() != "boolean")
               || (exists(@.new) && @.new.type() != "boolean")
               || (exists(@.if_exists) && @.if_exists.type() != "boolean")
               || (exists(@.if_there) && @.if_there.type() != "boolean")
               || (exists(@.mods) && (@.mods.type() != "array" || exists(@.mods[*] ? (
                       @.type() != "number" || @ < -1000 || @ > 10485760 || @ != @.floor())))))', '{}', true) END
$function$;
COMMENT ON FUNCTION migrollback_schema.is_destroyed_list(jsonb) IS
    'Whether this can be what the parser says that SQL destroys; NULL of nothing. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.migration_metadata_problem(metadata jsonb) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    rollback jsonb := nullif(metadata -> 'rollback', 'null');
BEGIN
    -- One expression, for it is asked for each migration of a list. A number is that of a statement, a byte or a line.
    RETURN CASE
        WHEN jsonb_typeof(metadata -> 'tool') NOT IN ('string', 'null') THEN 'tool is no text'
        WHEN jsonb_typeof(metadata -> 'previous_version') NOT IN ('string', 'null') THEN 'previous_version is no text'
        WHEN metadata ->> 'previous_version' !~ '^[0-9]{0,18}$' THEN 'previous_version is no number'
        WHEN jsonb_typeof(metadata -> 'system') NOT IN ('boolean', 'null') THEN 'system is neither true nor false'
        WHEN jsonb_typeof(metadata -> 'search_path') NOT IN ('string', 'null') THEN 'search_path is no text'
        WHEN NOT migrollback_schema.is_schema_list(metadata ->> 'search_path') THEN 'search_path is no list of schemas'
        WHEN jsonb_typeof(rollback) <> 'object' THEN 'rollback is no object'
        WHEN jsonb_typeof(rollback -> 'md5') <> 'string' THEN 'rollback.md5 is no text'
        WHEN jsonb_typeof(rollback -> 'transaction') <> 'boolean' THEN 'rollback.transaction is neither true nor false'
        WHEN jsonb_typeof(rollback -> 'live') <> 'boolean' THEN 'rollback.live is neither true nor false'
        WHEN jsonb_typeof(rollback -> 'error') <> 'object' THEN 'rollback.error is no object'
        WHEN jsonb_typeof(rollback -> 'no_transaction_words') <> 'string'
            THEN 'rollback.no_transaction_words is no text'
        WHEN rollback -> 'statements' <> '[]' AND (
                 jsonb_typeof(rollback -> 'statements') <> 'array'
                 OR jsonb_path_exists(rollback -> 'statements', 'strict $[*] ? (
                     @.type() != "array" || @.size() != 3 || exists(@[*] ? (
                         @.type() != "number" || @ < 0 || @ > 1073741823 || @ != @.floor())) || @[1] < 1)', '{}', true))
            THEN 'rollback.statements is no list of what belongs there'
        WHEN rollback -> 'refused_in_transaction' <> '[]' AND (
                 jsonb_typeof(rollback -> 'refused_in_transaction') <> 'array'
                 OR jsonb_path_exists(rollback -> 'refused_in_transaction', 'strict $[*] ? (@.type() != "object")',
                                      '{}', true))
            THEN 'rollback.refused_in_transaction is no list of what belongs there'
        WHEN rollback -> 'set_local' <> '[]' AND (
                 jsonb_typeof(rollback -> 'set_local') <> 'array'
                 OR jsonb_path_exists(rollback -> 'set_local', 'strict $[*] ? (@.type() != "string")', '{}', true))
            THEN 'rollback.set_local is no list of what belongs there'
        WHEN rollback -> 'set_session' <> '[]' AND (
                 jsonb_typeof(rollback -> 'set_session') <> 'array'
                 OR jsonb_path_exists(rollback -> 'set_session', 'strict $[*] ? (@.type() != "string")', '{}', true))
            THEN 'rollback.set_session is no list of what belongs there'
        WHEN rollback -> 'unseen' <> '[]' AND (
                 jsonb_typeof(rollback -> 'unseen') <> 'array'
                 OR jsonb_path_exists(rollback -> 'unseen', 'strict $[*] ? (
                     @.type() != "number" || @ < 0 || @ > 1073741823 || @ != @.floor())', '{}', true))
            THEN 'rollback.unseen is no list of what belongs there'
        WHEN rollback -> 'locks' <> '[]' AND (
                 jsonb_typeof(rollback -> 'locks') <> 'array'
                 OR jsonb_path_exists(rollback -> 'locks', '$[*] ? (
                     @.type() != "object" || !exists(@.statement) || !exists(@.name) || !exists(@.mode)
                     || exists(@.statement ? (@.type() != "number" || @ < 1 || @ > 1073741823 || @ != @.floor()))
                     || exists(@.modifiers[*] ? (@.type() != "number" || @ < 0 || @ > 1073741823 || @ != @.floor())))',
                     '{}', true))
            THEN 'rollback.locks is no list of what belongs there'
        WHEN rollback -> 'not_undone' <> '[]' AND (
                 jsonb_typeof(rollback -> 'not_undone') <> 'array'
                 OR jsonb_path_exists(rollback -> 'not_undone', 'strict $[*] ? (
                     @.type() != "array" || @.size() != 2 || exists(@[0] ? (
                         @.type() != "number" || @ < 0 || @ > 1073741823 || @ != @.floor()))
                     || @[1].type() != "string")', '{}', true))
            THEN 'rollback.not_undone is no list of what belongs there'
        WHEN rollback -> 'calls' <> '[]' AND (
                 jsonb_typeof(rollback -> 'calls') <> 'array'
                 OR jsonb_path_exists(rollback -> 'calls', 'strict $[*] ? (
                     @.type() != "array" || @.size() != 3 || exists(@[0] ? (
                         @.type() != "number" || @ < 0 || @ > 1073741823 || @ != @.floor())) || @[2].type() != "string"
                     || (@[1].type() != "string" && @[1].type() != "null"))', '{}', true))
            THEN 'rollback.calls is no list of what belongs there'
        WHEN rollback -> 'writes' <> '[]' AND (
                 jsonb_typeof(rollback -> 'writes') <> 'array'
                 OR jsonb_path_exists(rollback -> 'writes', 'strict $[*] ? (
                     @.type() != "array" || @.size() != 4 || exists(@[0] ? (
                         @.type() != "number" || @ < 0 || @ > 1073741823 || @ != @.floor())) || @[1].type() != "string"
                     || @[3].type() != "string" || (@[2].type() != "string" && @[2].type() != "null"))', '{}', true))
            THEN 'rollback.writes is no list of what belongs there'
        WHEN rollback -> 'drops' <> '[]' AND NOT coalesce(migrollback_schema.is_destroyed_list(rollback -> 'drops'),
                                                          true)
            THEN 'rollback.drops is no list of what belongs there'
    END;
END $function$;
COMMENT ON FUNCTION migrollback_schema.migration_metadata_problem(jsonb) IS
    'What in migration_history.metadata cannot be what a registration wrote, so that nothing may be read from it, in '
    'words; NULL where all is sound. Does not write.';
