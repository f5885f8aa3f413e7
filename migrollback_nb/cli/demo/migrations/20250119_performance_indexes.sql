-- Migration: 20250119_performance_indexes.sql
-- Description: Indexes for the queries that the dashboard runs most
-- Depends on: 20250110_base_shop.sql

-- UP MIGRATION

-- A user's orders, newest first
CREATE INDEX IF NOT EXISTS idx_orders_user_id_ordered_at ON public.orders (user_id, ordered_at DESC);

-- The packing list: few rows of many, so only those are indexed
CREATE INDEX IF NOT EXISTS idx_orders_open ON public.orders (ordered_at) WHERE status = 'open';

-- Deleting a user looks for the projects that go with it
CREATE INDEX IF NOT EXISTS idx_projects_owner_id ON public.projects (owner_id);

-- ROLLBACK START

DROP INDEX IF EXISTS public.idx_projects_owner_id;
DROP INDEX IF EXISTS public.idx_orders_open;
DROP INDEX IF EXISTS public.idx_orders_user_id_ordered_at;

-- ROLLBACK END
