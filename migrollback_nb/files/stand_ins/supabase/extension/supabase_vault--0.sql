-- Secrets are kept as they are: put none in that is one. https://supabase.com/docs/guides/database/vault
CREATE TABLE @extschema@.secrets (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), name text, description text NOT NULL DEFAULT '',
        secret text NOT NULL, key_id uuid, nonce bytea,
    created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX secrets_name_idx ON @extschema@.secrets (name) WHERE name IS NOT NULL;
CREATE VIEW @extschema@.decrypted_secrets AS
    SELECT id, name, description, secret, secret AS decrypted_secret, key_id, nonce, created_at, updated_at
      FROM @extschema@.secrets;
CREATE FUNCTION @extschema@.create_secret(new_secret text, new_name text DEFAULT NULL, new_description text DEFAULT '',
                                          new_key_id uuid DEFAULT NULL) RETURNS uuid LANGUAGE sql AS
    'INSERT INTO @extschema@.secrets (secret, name, description, key_id) VALUES ($1, $2, $3, $4) RETURNING id';
CREATE FUNCTION @extschema@.update_secret(secret_id uuid, new_secret text DEFAULT NULL, new_name text DEFAULT NULL,
                                          new_description text DEFAULT NULL, new_key_id uuid DEFAULT NULL)
    RETURNS void LANGUAGE sql AS
    'UPDATE @extschema@.secrets s SET secret = coalesce($2, s.secret), name = coalesce($3, s.name), description = '
    'coalesce($4, s.description) WHERE s.id = $1';
