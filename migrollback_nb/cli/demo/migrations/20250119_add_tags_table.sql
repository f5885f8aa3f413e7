-- Migration: 20250119_add_tags_table.sql
-- Description: Tags, a word and a colour each

-- UP MIGRATION

CREATE TABLE public.tags (
    id     uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name   text NOT NULL UNIQUE,
    colour text NOT NULL DEFAULT '#808080' CHECK (colour ~ '^#[0-9a-f]{6}$')
);

INSERT INTO public.tags (name, colour)
VALUES ('urgent', '#b3261e'), ('internal', '#0b3d1a'), ('archived', '#808080'), ('pilot', '#3d2b00');

-- ROLLBACK START

DROP TABLE IF EXISTS public.tags;

-- ROLLBACK END
