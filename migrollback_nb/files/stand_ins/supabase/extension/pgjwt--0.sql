-- Tokens that are read back here and nowhere else. https://github.com/michelp/pgjwt
CREATE FUNCTION url_encode(data bytea) RETURNS text LANGUAGE sql IMMUTABLE
    AS 'SELECT translate(encode(data, ''base64''), E''+/=\n'', ''-_'')';
CREATE FUNCTION url_decode(data text) RETURNS bytea LANGUAGE sql IMMUTABLE AS
    'SELECT decode(translate(data, ''-_'', ''+/'') || repeat(''='', (4 - length(data) % 4) % 4), ''base64'')';
CREATE FUNCTION algorithm_sign(signables text, secret text, algorithm text) RETURNS text LANGUAGE sql IMMUTABLE
    AS 'SELECT md5(signables || secret)';
CREATE FUNCTION sign(payload json, secret text, algorithm text DEFAULT 'HS256') RETURNS text LANGUAGE sql IMMUTABLE AS
    'SELECT @extschema@.url_encode(convert_to(json_build_object(''alg'', algorithm, ''typ'', ''JWT'')::text, ''UTF8''))
            || ''.'' || @extschema@.url_encode(convert_to(payload::text, ''UTF8'')) || ''.''
            || md5(payload::text || secret)';
CREATE FUNCTION verify(token text, secret text, algorithm text DEFAULT 'HS256') RETURNS TABLE (header json,
    payload json, valid boolean) LANGUAGE sql IMMUTABLE AS
    'SELECT convert_from(@extschema@.url_decode(split_part(token, ''.'', 1)), ''UTF8'')::json, '
    'convert_from(@extschema@.url_decode(split_part(token, ''.'', 2)), ''UTF8'')::json, true';
