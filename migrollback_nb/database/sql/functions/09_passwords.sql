-- ---------------------------------------------------------------------------------------------------
-- Passwords: what goes into the audit log has none.
-- ---------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION migrollback_schema.mask_passwords(words text) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    -- E'...', '...', $$...$$; as core/text.py has it
    literals constant text[] := ARRAY[
        $re$(password"?\s*(?:=\s*)?)E'(?:[^'\\]|\\.|'')*'$re$, $re$(password"?\s*(?:=\s*)?)(?:U&)?'(?:[^']|'')*'$re$,
        $re$(password"?\s*(?:=\s*)?)\$(\w*)\$[^$]*\$\2\$$re$];
    one      text;
BEGIN
    IF words !~* 'password|://' THEN
        RETURN words;
    END IF;
    words := regexp_replace(words, $re$(://[^:/@\s'"]*:)[^@\s'"/]+@$re$, '\1***@', 'g');
    -- inside a literal, where quotes are doubled
    words := regexp_replace(words, $re$(password\s*=\s*)''(?:[^']|'''')+''(?!')$re$, '\1***', 'gi');
    FOREACH one IN ARRAY literals LOOP
        words := regexp_replace(words, one, '\1''***''', 'gi');
    END LOOP;
    RETURN regexp_replace(words, $re$(password=)(?![*'"$])[^\s'"&]+$re$, '\1***', 'gi');
END $function$;
COMMENT ON FUNCTION migrollback_schema.mask_passwords(text) IS
    'A text with *** in place of each password: PASSWORD ''...'', password of OPTIONS, of a connection string or URI. '
    'Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.mask_passwords_in(value jsonb) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    IF value::text !~* 'password|://' THEN
        RETURN value;
    END IF;
    RETURN CASE jsonb_typeof(value)
        WHEN 'string' THEN to_jsonb(migrollback_schema.mask_passwords(value #>> '{}'))
        WHEN 'array' THEN (SELECT jsonb_agg(migrollback_schema.mask_passwords_in(e.value) ORDER BY e.place)
                           FROM jsonb_array_elements(value) WITH ORDINALITY AS e (value, place))
        WHEN 'object' THEN (SELECT jsonb_object_agg(e.key, migrollback_schema.mask_passwords_in(e.value))
                            FROM jsonb_each(value) e)
        ELSE value END;
END $function$;
COMMENT ON FUNCTION migrollback_schema.mask_passwords_in(jsonb) IS
    'mask_passwords() of every text in a JSON value; its keys stay. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.option_without_secret(option text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT CASE WHEN split_part(option, '=', 1) ~* 'pass|secret|token|key|cred'
                THEN split_part(option, '=', 1) || '=md5 ' || left(md5(option), 8)
                ELSE migrollback_schema.mask_passwords(option) END
$function$;
COMMENT ON FUNCTION migrollback_schema.option_without_secret(text) IS
    'An option (name=value) of a foreign server or wrapper as a snapshot keeps it: of what looks like a secret the '
    'beginning of a hash. Does not write.';
