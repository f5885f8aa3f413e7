-- Migration: 20250119_add_analytics_queue.sql
-- Description: Queue of analytics jobs
-- Depends on: 20250110_base_shop.sql

-- UP MIGRATION

CREATE TABLE IF NOT EXISTS public.analytics_queue (
    id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    requested_by uuid NOT NULL REFERENCES public.users (id) ON DELETE CASCADE,
    job          text NOT NULL,
    status       text NOT NULL DEFAULT 'waiting' CHECK (status IN ('waiting', 'running', 'done', 'failed')),
    created_at   timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE public.analytics_queue IS 'Jobs for the analytics workers, oldest first.';

-- Workers look for the oldest job that waits
CREATE INDEX idx_analytics_queue_waiting ON public.analytics_queue (created_at) WHERE status = 'waiting';

INSERT INTO public.analytics_queue (requested_by, job, status, created_at)
SELECT p.owner_id, 'summary of ' || p.name, CASE WHEN p.created_at < '2024-06-01' THEN 'done' ELSE 'waiting' END,
       p.created_at + interval '2 days'
FROM public.projects p;

-- ROLLBACK START

DROP INDEX IF EXISTS public.idx_analytics_queue_waiting;
DROP TABLE IF EXISTS public.analytics_queue;

-- ROLLBACK END
