-- Migration: 20250120_add_project_tags.sql
-- Description: Which project carries which tag
-- Depends on: 20250119_add_tags_table.sql
-- Depends on: 20250110_base_shop.sql
--
-- This migration adds the junction table project_tags, which requires the tags table from 20250119

-- UP MIGRATION

CREATE TABLE public.project_tags (
    project_id uuid REFERENCES public.projects (id) ON DELETE CASCADE,
    tag_id     uuid REFERENCES public.tags (id),  -- from 20250119
    PRIMARY KEY (project_id, tag_id)
);

INSERT INTO public.project_tags (project_id, tag_id)
SELECT p.id, t.id
FROM public.projects p
JOIN public.tags t ON t.name = CASE WHEN p.name LIKE '%7' THEN 'urgent' WHEN p.name LIKE '%3' THEN 'internal' END;

-- ROLLBACK START

DROP TABLE IF EXISTS public.project_tags;

-- ROLLBACK END
