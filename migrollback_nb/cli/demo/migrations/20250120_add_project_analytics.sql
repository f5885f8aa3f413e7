-- Migration: 20250120_add_project_analytics.sql
-- Description: Results of analytics jobs, for each project
-- Depends on: 20250119_add_analytics_queue.sql, 20250110_base_shop.sql

-- UP MIGRATION

CREATE TABLE IF NOT EXISTS public.project_analytics (
    id               uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    project_id       uuid NOT NULL REFERENCES public.projects (id) ON DELETE CASCADE,
    analytics_job_id uuid REFERENCES public.analytics_queue (id),
    metrics          jsonb NOT NULL DEFAULT '{}',
    created_at       timestamptz NOT NULL DEFAULT now()
);

ALTER TABLE public.analytics_queue
ADD COLUMN IF NOT EXISTS project_id uuid REFERENCES public.projects (id);

INSERT INTO public.project_analytics (project_id, analytics_job_id, metrics)
SELECT p.id, q.id, jsonb_build_object('orders', (SELECT count(*) FROM public.orders o WHERE o.project_id = p.id))
FROM public.projects p
JOIN public.analytics_queue q ON q.job = 'summary of ' || p.name AND q.status = 'done';

-- ROLLBACK START
-- First the column that this migration added to the queue, then the table that it made.

ALTER TABLE IF EXISTS public.analytics_queue
DROP COLUMN IF EXISTS project_id;

DROP TABLE IF EXISTS public.project_analytics;

-- ROLLBACK END
