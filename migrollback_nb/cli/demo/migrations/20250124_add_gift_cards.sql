-- Migration: 20250124_add_gift_cards.sql
-- Description: Gift cards. The rollback is wrong on purpose: it names a table that was never made
-- Depends on: 20250110_base_shop.sql

-- UP MIGRATION

CREATE TABLE public.gift_cards (
    code      text PRIMARY KEY,
    bought_by uuid NOT NULL REFERENCES public.users (id),
    balance   numeric(10, 2) NOT NULL CHECK (balance >= 0)
);
CREATE INDEX idx_gift_cards_bought_by ON public.gift_cards (bought_by);

INSERT INTO public.gift_cards (code, bought_by, balance)
SELECT upper(left(md5(u.id::text), 12)), u.id, 25
FROM public.users u
WHERE u.created_at < '2024-02-01';

-- ROLLBACK START
-- The third statement fails, and what the first two did is undone with it.

DROP INDEX IF EXISTS public.idx_gift_cards_bought_by;
DROP TABLE IF EXISTS public.gift_cards;
DELETE FROM public.gift_card_ledger;

-- ROLLBACK END
