-- Digests as PostgreSQL itself has them; what is encrypted is not safe, it is only a value that can be read back.
-- https://www.postgresql.org/docs/current/pgcrypto.html
CREATE FUNCTION digest(data bytea, type text) RETURNS bytea LANGUAGE sql IMMUTABLE STRICT AS
    'SELECT CASE lower(type) WHEN ''md5'' THEN decode(md5(data), ''hex'') WHEN ''sha224'' THEN sha224(data)
            WHEN ''sha256'' THEN sha256(data) WHEN ''sha384'' THEN sha384(data) WHEN ''sha512'' THEN sha512(data)
            ELSE substring(sha256(data) FOR 20) END';
CREATE FUNCTION digest(data text, type text) RETURNS bytea LANGUAGE sql IMMUTABLE STRICT
    AS 'SELECT @extschema@.digest(convert_to(data, ''UTF8''), type)';
CREATE FUNCTION hmac(data bytea, key bytea, type text) RETURNS bytea LANGUAGE sql IMMUTABLE STRICT
    AS 'SELECT @extschema@.digest(key || data, type)';
CREATE FUNCTION hmac(data text, key text, type text) RETURNS bytea LANGUAGE sql IMMUTABLE STRICT AS
    'SELECT @extschema@.digest(convert_to(key || data, ''UTF8''), type)';
CREATE FUNCTION gen_random_bytes(count integer) RETURNS bytea LANGUAGE sql VOLATILE STRICT AS
    'SELECT substring(string_agg(uuid_send(gen_random_uuid()), '''') FOR count) FROM generate_series(0, count / 16)';
CREATE FUNCTION gen_random_uuid() RETURNS uuid LANGUAGE sql VOLATILE AS 'SELECT pg_catalog.gen_random_uuid()';
CREATE FUNCTION gen_salt(type text) RETURNS text LANGUAGE sql VOLATILE STRICT
    AS 'SELECT ''$'' || type || ''$'' || md5(gen_random_uuid()::text)';
CREATE FUNCTION gen_salt(type text, rounds integer) RETURNS text LANGUAGE sql VOLATILE STRICT
    AS 'SELECT @extschema@.gen_salt(type)';
CREATE FUNCTION crypt(password text, salt text) RETURNS text LANGUAGE sql IMMUTABLE STRICT AS
    'SELECT s.salt || ''$'' || md5(s.salt || password) FROM (SELECT ''$'' || split_part(salt, ''$'', 2) || ''$'' || '
    'split_part(salt, ''$'', 3)) AS s (salt)';
CREATE FUNCTION encrypt(data bytea, key bytea, type text) RETURNS bytea LANGUAGE sql IMMUTABLE STRICT AS 'SELECT data';
CREATE FUNCTION decrypt(data bytea, key bytea, type text) RETURNS bytea LANGUAGE sql IMMUTABLE STRICT AS 'SELECT data';
CREATE FUNCTION encrypt_iv(data bytea, key bytea, iv bytea, type text) RETURNS bytea LANGUAGE sql IMMUTABLE STRICT
    AS 'SELECT data';
CREATE FUNCTION decrypt_iv(data bytea, key bytea, iv bytea, type text) RETURNS bytea LANGUAGE sql IMMUTABLE STRICT
    AS 'SELECT data';
CREATE FUNCTION pgp_sym_encrypt(data text, password text) RETURNS bytea LANGUAGE sql VOLATILE STRICT
    AS 'SELECT convert_to(data, ''UTF8'')';
CREATE FUNCTION pgp_sym_encrypt(data text, password text, options text) RETURNS bytea LANGUAGE sql VOLATILE STRICT
    AS 'SELECT convert_to(data, ''UTF8'')';
CREATE FUNCTION pgp_sym_decrypt(data bytea, password text) RETURNS text LANGUAGE sql IMMUTABLE STRICT
    AS 'SELECT convert_from(data, ''UTF8'')';
CREATE FUNCTION pgp_sym_decrypt(data bytea, password text, options text) RETURNS text LANGUAGE sql IMMUTABLE STRICT
    AS 'SELECT convert_from(data, ''UTF8'')';
CREATE FUNCTION armor(data bytea) RETURNS text LANGUAGE sql IMMUTABLE STRICT AS 'SELECT encode(data, ''base64'')';
CREATE FUNCTION dearmor(data text) RETURNS bytea LANGUAGE sql IMMUTABLE STRICT AS 'SELECT decode(data, ''base64'')';
