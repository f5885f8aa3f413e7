-- Migration: 20250123_add_order_notes.sql
-- Description: Remarks on orders
-- Depends on: 20250110_base_shop.sql

-- UP MIGRATION

CREATE TABLE public.order_notes (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    order_id   bigint NOT NULL REFERENCES public.orders (id) ON DELETE CASCADE,
    note       text NOT NULL,
    written_at timestamptz NOT NULL DEFAULT now()
);

INSERT INTO public.order_notes (order_id, note)
SELECT o.id, 'came back, refund is under way' FROM public.orders o WHERE o.status = 'returned';

-- ROLLBACK START

DROP TABLE IF EXISTS public.order_notes;

-- ROLLBACK END
