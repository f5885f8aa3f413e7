-- Migration: 20250110_base_shop.sql
-- Description: Users, projects and orders of a small shop, with sample rows
--
-- Everything else rests on these three tables, so this one is the last that could ever be rolled back.

-- UP MIGRATION

CREATE TABLE public.users (
    id         uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name       text NOT NULL,
    email      text NOT NULL UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE public.users IS 'Who may sign in.';

CREATE TABLE public.projects (
    id         uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    owner_id   uuid NOT NULL REFERENCES public.users (id) ON DELETE CASCADE,
    name       text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE public.projects IS 'What users order for.';

CREATE TABLE public.orders (
    id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id          uuid NOT NULL REFERENCES public.users (id),
    project_id       uuid REFERENCES public.projects (id) ON DELETE SET NULL,
    status           text NOT NULL CHECK (status IN ('open', 'paid', 'shipped', 'returned')),
    total            numeric(10, 2) NOT NULL CHECK (total >= 0),
    shipping_address text NOT NULL,
    ordered_at       timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE public.orders IS 'What was ordered, by whom, and how far it got.';
COMMENT ON COLUMN public.orders.total IS 'In euros, taxes included.';

INSERT INTO public.users (name, email, created_at)
SELECT format('User %s', n), format('user%s@example.com', n), timestamptz '2024-01-01 08:00+00' + n * interval '5 hours'
FROM generate_series(1, 1000) AS n;

INSERT INTO public.projects (owner_id, name, created_at)
SELECT u.id, format('Project %s', n), u.created_at + interval '1 day'
FROM generate_series(1, 250) AS n
JOIN public.users u ON u.email = format('user%s@example.com', n * 4);

INSERT INTO public.orders (user_id, project_id, status, total, shipping_address, ordered_at)
SELECT u.id, p.id, (ARRAY['shipped', 'paid', 'shipped', 'open', 'returned'])[1 + n % 5], 5 + n % 95,
       format('%s Harbour Street', 1 + n % 400), u.created_at + interval '30 days'
FROM generate_series(1, 3000) AS n
JOIN public.users u ON u.email = format('user%s@example.com', 1 + n % 1000)
LEFT JOIN public.projects p ON p.owner_id = u.id;

-- ROLLBACK START
-- In reverse order: orders point at projects and users, projects at users.
-- Without CASCADE on purpose: whatever else has come to rest on these tables should stop this.

DROP TABLE IF EXISTS public.orders;
DROP TABLE IF EXISTS public.projects;
DROP TABLE IF EXISTS public.users;

-- ROLLBACK END
