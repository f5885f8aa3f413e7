-- Only its function, which answers nothing. https://supabase.com/docs/guides/database/extensions/pg_graphql
CREATE FUNCTION @extschema@.resolve(query text, variables jsonb DEFAULT '{}', "operationName" text DEFAULT NULL,
                                    extensions jsonb DEFAULT NULL) RETURNS jsonb LANGUAGE sql AS
    'SELECT ''{"errors": [{"message": "a stand-in without GraphQL"}]}''::jsonb';
