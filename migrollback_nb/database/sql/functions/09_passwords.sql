-- ---------------------------------------------------------------------------------------------------
-- Passwords: what goes into the audit log has none.
-- ---------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION migrollback_schema.mask_bare_passwords(words text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT regexp_replace(regexp_replace(regexp_replace(words,
        $re$((?:host|hostaddr|port|dbname|user|service)\s*=\s*[^\s'"=]+\s+\w*password\s*=\s*)(?![*$])[^\s'"&();,]+$re$,
        '\1***', 'gi'),
        $re$(password=)(?![*'"$])(?:\\.|[^\s'"&();,\\])+$re$, '\1***', 'gi'),
        -- a literal that was cut off
        $re$(password"?\s*(?:=\s*)?(?:E|U&)?(?:'|\$\w*\$))[^'$]*$$re$, '\1***', 'gi')
$function$;
COMMENT ON FUNCTION migrollback_schema.mask_bare_passwords(text) IS
    'A text with *** in place of each password that stands in no literal: of a connection string among other words. '
    'Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.mask_password_literal(token text) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    tag    text := substring(token, '^\$\w*\$');
    body   text := CASE WHEN tag IS NOT NULL THEN substr(token, length(tag) + 1, length(token) - 2 * length(tag))
                        WHEN left(token, 1) = '''' THEN replace(substr(token, 2, length(token) - 2), '''''', '''')
                        ELSE replace(replace(substr(token, 3, length(token) - 3), '''''', ''''), '\''', '''') END;
    masked text := migrollback_schema.mask_passwords(body);
BEGIN
    RETURN CASE WHEN masked = body THEN token
                WHEN tag IS NOT NULL THEN tag || masked || tag
                ELSE rtrim(left(token, 1), '''') || '''' || replace(masked, '''', '''''') || '''' END;
END $function$;
COMMENT ON FUNCTION migrollback_schema.mask_password_literal(text) IS
    'mask_passwords() of what a literal says, quoted as it was. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.mask_passwords(words text) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    -- as core/passwords.py has it; {1,1}? makes all of it end as early as it can
    token_re  constant text := $re$(?:--[^\n]*(?=\n|$)|/\*.*?\*/|(?<!\w)[eE]'(?:[^'\\]|\\.|'')*'(?!')|$re$
        || $re$'(?:[^']|'')*'(?!')|(?<![\w$])\$(\w*)\$.*?\$\1\$|"(?:[^"]|"")*"(?!")){1,1}?$re$;
    before_re constant text := $re$password(?:["']?\s*(?:=>|:=|=|:)?\s*'?\s*(?:\|\|\s*)?(?:\w+\(\s*)?(?:U&)?|$re$
        || $re$'\s*,\s*)$$re$;
    value_re  constant text := $re$(?:'(?:[^'\\]|\\.)*'|(?:\\.|[^\s'\\])+)$re$;
    apart     text;
    shown     text := '';
    before    text := '';
    masked    boolean := false;
    arguments boolean := false;
    part      record;
BEGIN
    IF (words ~* 'password|://') IS NOT TRUE THEN
        RETURN words;                   -- NULL too: a reason that was not given is none
    END IF;
    words := regexp_replace(words, $re$(://[^:/@\s'"]*:)[^\s'"/]+@$re$, '\1***@', 'g');
    words := regexp_replace(words, $re$([?&]\w*password=)[^&\s'"]+$re$, '\1***', 'gi');
    IF words ~ format($re$^\s*\w+\s*=\s*%1$s(?:\s+\w+\s*=\s*%1$s)*\s*$$re$, value_re) THEN
        RETURN regexp_replace(words, $re$((?:^|\s)\w*password\s*=\s*)$re$ || value_re, '\1***', 'gi');
    END IF;
    apart := (SELECT chr(c) FROM generate_series(1, 31) c WHERE strpos(words, chr(c)) = 0 LIMIT 1);
    -- Only what stands in a literal or a comment is replaced: a text that is shown before it runs must not be able to
    -- hide a statement behind a password.
    FOR part IN SELECT p.text, p.place % 2 = 0 AS is_token
                FROM unnest(string_to_array(regexp_replace(words, token_re, apart || '\&' || apart, 'g'), apart))
                     WITH ORDINALITY AS p (text, place) ORDER BY p.place
    LOOP
        IF NOT part.is_token THEN
            shown := shown || migrollback_schema.mask_bare_passwords(part.text);
            before := right(before || part.text, 80);
            masked := masked AND part.text ~ $re$^\s*\n\s*$$re$;
            arguments := arguments AND part.text !~ '[);]';
        ELSIF left(part.text, 2) IN ('--', '/*') THEN
            shown := shown || left(part.text, 2) || migrollback_schema.mask_passwords(substr(part.text, 3));
        ELSIF left(part.text, 1) = '"' THEN
            shown := shown || CASE WHEN before ~* $re$password"\s*:\s*$$re$ THEN '"***"' ELSE
                '"' || migrollback_schema.mask_passwords(substr(part.text, 2, length(part.text) - 2)) || '"' END;
            before := right(before || part.text, 80);
        ELSIF masked OR arguments OR before ~* before_re THEN
            shown := shown || '''***''';
            before := '';
            masked := true;
        ELSE
            shown := shown || migrollback_schema.mask_password_literal(part.text);
            arguments := part.text ~* $re$password\s*=?\s*'*%$re$;
            before := right(regexp_replace(part.text, $re$('|\$\w*\$)$$re$, ''), 80) || '''';
        END IF;
    END LOOP;
    RETURN shown;
END $function$;
COMMENT ON FUNCTION migrollback_schema.mask_passwords(text) IS
    'A text with *** in place of each password: of SQL (PASSWORD ''...'', OPTIONS), of a connection string or URI. '
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

CREATE OR REPLACE FUNCTION migrollback_schema.refuse_password_in_name(name text) RETURNS void
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    IF migrollback_schema.mask_passwords(name) <> name THEN
        RAISE EXCEPTION 'a connection string with a password is no name' USING ERRCODE = 'MR006',
            HINT = 'Names are kept and shown. Change the password if others can see what was typed.';
    END IF;
END $function$;
COMMENT ON FUNCTION migrollback_schema.refuse_password_in_name(text) IS
    'Ends with SQLSTATE MR006 where a name that is to be kept holds a password: a connection string was typed in its '
    'place. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.option_without_secret(option text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT CASE WHEN split_part(option, '=', 1) ~* 'pass|secret|token|key|cred'
                THEN split_part(option, '=', 1) || '=md5 ' || left(md5(option), 8)
                ELSE migrollback_schema.mask_passwords(option) END
$function$;
COMMENT ON FUNCTION migrollback_schema.option_without_secret(text) IS
    'An option (name=value) of a foreign server or wrapper as a snapshot keeps it: of what looks like a secret the '
    'beginning of a hash. Does not write.';
