-- Migration: 20251019232120_ai_routing_metadata.sql
-- Description: Which model answered which kind of question. Nobody has written a rollback yet
-- Depends on: 20250110_base_shop.sql

-- UP MIGRATION

CREATE TABLE public.ai_routing_metadata (
    id         uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    project_id uuid NOT NULL REFERENCES public.projects (id) ON DELETE CASCADE,
    model      text NOT NULL,
    latency_ms integer NOT NULL CHECK (latency_ms >= 0),
    created_at timestamptz NOT NULL DEFAULT now()
);

INSERT INTO public.ai_routing_metadata (project_id, model, latency_ms)
SELECT p.id, 'small', 180 + length(p.name) FROM public.projects p;
