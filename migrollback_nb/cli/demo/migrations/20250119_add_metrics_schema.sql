-- Migration: 20250119_add_metrics_schema.sql
-- Description: A schema of its own for numbers about the shop
-- Depends on: 20250110_base_shop.sql

-- UP MIGRATION

CREATE SCHEMA metrics;
COMMENT ON SCHEMA metrics IS 'Numbers about the shop; can be computed again at any time.';

CREATE TABLE metrics.daily_orders (
    day     date PRIMARY KEY,
    orders  integer NOT NULL,
    revenue numeric(12, 2) NOT NULL
);

CREATE FUNCTION metrics.refresh_daily_orders() RETURNS void
LANGUAGE sql AS $$
    -- days are those of UTC, whatever the session's time zone is
    INSERT INTO metrics.daily_orders AS d (day, orders, revenue)
    SELECT (o.ordered_at AT TIME ZONE 'UTC')::date, count(*),
           coalesce(sum(o.total) FILTER (WHERE o.status <> 'returned'), 0)
    FROM public.orders o
    GROUP BY 1
    ON CONFLICT (day) DO UPDATE SET orders = EXCLUDED.orders, revenue = EXCLUDED.revenue;
$$;
COMMENT ON FUNCTION metrics.refresh_daily_orders() IS 'Computes metrics.daily_orders again. Writes.';

CREATE VIEW metrics.monthly_revenue AS
SELECT date_trunc('month', d.day)::date AS month, sum(d.revenue) AS revenue
FROM metrics.daily_orders d
GROUP BY 1;

SELECT metrics.refresh_daily_orders();

-- ROLLBACK START
-- Nothing is lost for good: the numbers come from orders.

DROP VIEW IF EXISTS metrics.monthly_revenue;
DROP FUNCTION IF EXISTS metrics.refresh_daily_orders();
DROP TABLE IF EXISTS metrics.daily_orders;
DROP SCHEMA IF EXISTS metrics;

-- ROLLBACK END
