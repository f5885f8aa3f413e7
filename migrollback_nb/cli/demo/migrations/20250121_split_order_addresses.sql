-- Migration: 20250121_split_order_addresses.sql
-- Description: Keep each shipping address once, in a table of its own
-- Depends on: 20250110_base_shop.sql
--
-- orders.shipping_address stays until nothing reads it any more; a later migration may drop it.

-- UP MIGRATION

CREATE TABLE public.order_addresses (
    id      uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    address text NOT NULL
);
CREATE UNIQUE INDEX idx_order_addresses_address ON public.order_addresses (address);

INSERT INTO public.order_addresses (address)
SELECT DISTINCT o.shipping_address FROM public.orders o;

ALTER TABLE public.orders ADD COLUMN address_id uuid;

UPDATE public.orders o
SET address_id = a.id
FROM public.order_addresses a
WHERE a.address = o.shipping_address;

ALTER TABLE public.orders
ADD CONSTRAINT fk_orders_address FOREIGN KEY (address_id) REFERENCES public.order_addresses (id);

-- ROLLBACK START

-- Step 1: Remove the foreign key first, else the table it points at cannot go
ALTER TABLE IF EXISTS public.orders DROP CONSTRAINT IF EXISTS fk_orders_address;

-- Step 2: Take the new column away; the address itself still stands in orders.shipping_address
ALTER TABLE IF EXISTS public.orders DROP COLUMN IF EXISTS address_id;

-- Step 3: Drop the index
DROP INDEX IF EXISTS public.idx_order_addresses_address;

-- Step 4: Finally drop the table
DROP TABLE IF EXISTS public.order_addresses;

-- ROLLBACK END
