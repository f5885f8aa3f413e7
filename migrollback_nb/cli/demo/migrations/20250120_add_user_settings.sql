-- Migration: 20250120_add_user_settings.sql
-- Description: Add user settings table
-- Depends on: 20250110_base_shop.sql

-- UP MIGRATION

CREATE TABLE IF NOT EXISTS public.user_settings (
    id         uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id    uuid NOT NULL REFERENCES public.users (id) ON DELETE CASCADE,
    theme      text NOT NULL DEFAULT 'light',
    language   text NOT NULL DEFAULT 'en',
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX idx_user_settings_user_id ON public.user_settings (user_id);

INSERT INTO public.user_settings (user_id)
SELECT u.id FROM public.users u;

-- ROLLBACK START
-- This section defines how to undo the migration

DROP INDEX IF EXISTS public.idx_user_settings_user_id;
DROP TABLE IF EXISTS public.user_settings;

-- ROLLBACK END
