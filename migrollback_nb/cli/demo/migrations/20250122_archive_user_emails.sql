-- Migration: 20250122_archive_user_emails.sql
-- Description: Take e-mail addresses out of users, and keep them in an archive
-- Depends on: 20250110_base_shop.sql

-- UP MIGRATION

-- The archive comes first: a dropped column cannot be asked any more
CREATE TABLE public.archived_user_emails AS
SELECT u.id, u.email FROM public.users u;

ALTER TABLE public.archived_user_emails ADD PRIMARY KEY (id);
COMMENT ON TABLE public.archived_user_emails IS
    'E-mail addresses as they stood in users; the rollback restores them from here.';

ALTER TABLE public.users DROP COLUMN email;

-- ROLLBACK START

-- Restore the column, still without its constraints: no row has a value yet
ALTER TABLE public.users ADD COLUMN email text;

-- Restore the data from the archive
UPDATE public.users u
SET email = a.email
FROM public.archived_user_emails a
WHERE u.id = a.id;

-- Users who came after the migration have no address: this fails then, and everything above is undone
ALTER TABLE public.users ALTER COLUMN email SET NOT NULL;
ALTER TABLE public.users ADD CONSTRAINT users_email_key UNIQUE (email);

-- Clean the archive up
DROP TABLE IF EXISTS public.archived_user_emails;

-- ROLLBACK END
