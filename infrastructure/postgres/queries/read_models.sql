-- Rows of the read models: those that a batch touches, and those that people ask for.

-- name: summaries
SELECT s.order_id, s.customer_id, s.country, s.currency, s.payment, s.fulfillment, s.holds, s.stage, s.outcome, s.risk,
    s.cancelling, s.cancel_reason, s.failed_steps, s.total, s.authorized, s.captured, s.voided, s.lines, s.units,
    s.units_cancelled, s.units_backordered, s.units_shipped, s.units_delivered, s.parcels, s.parcel_details,
    s.placed_at, s.updated_at, s.placed_position, s.position, s.last_event
FROM order_summary_v1 s
WHERE s.order_id = ANY (%(orders)b::text[])

-- name: add_counts
INSERT INTO pipeline_counts_v1 AS counts (stage, orders)
SELECT n.stage, n.change FROM unnest(%(stages)b::text[], %(change)b::bigint[]) AS n(stage, change)
ON CONFLICT (stage) DO UPDATE SET orders = counts.orders + excluded.orders

-- name: levels
SELECT l.warehouse, l.sku, l.on_hand, l.allocated, l.backordered, l.received, l.shipped, l.adjusted, l.position, l.updated_at
FROM unnest(%(warehouses)b::text[], %(skus)b::text[]) AS k(warehouse, sku)
JOIN stock_levels_v1 l USING (warehouse, sku)

-- name: queued
SELECT q.warehouse, q.sku, q.order_id, q.quantity
FROM unnest(%(warehouses)b::text[], %(skus)b::text[], %(orders)b::text[]) AS k(warehouse, sku, order_id)
JOIN stock_backorders_v1 q USING (warehouse, sku, order_id)

-- name: leave_queues
DELETE FROM stock_backorders_v1 q
USING unnest(%(warehouses)b::text[], %(skus)b::text[], %(orders)b::text[]) AS k(warehouse, sku, order_id)
WHERE q.warehouse = k.warehouse AND q.sku = k.sku AND q.order_id = k.order_id

-- name: list_orders
SELECT s.order_id, s.customer_id, s.country, s.currency, s.payment, s.fulfillment, s.holds, s.stage, s.outcome, s.risk,
    s.cancelling, s.cancel_reason, s.failed_steps, s.total, s.authorized, s.captured, s.voided, s.lines, s.units,
    s.units_cancelled, s.units_backordered, s.units_shipped, s.units_delivered, s.parcels, s.parcel_details,
    s.placed_at, s.updated_at, s.placed_position, s.position, s.last_event
FROM order_summary_v1 s
WHERE (%(before)s::bigint IS NULL OR s.placed_position < %(before)s)
  AND (%(stage)s::text IS NULL OR s.stage = %(stage)s)
  AND (%(payment)s::text IS NULL OR s.payment = %(payment)s)
  AND (%(fulfillment)s::text IS NULL OR s.fulfillment = %(fulfillment)s)
  AND (%(hold)s::text IS NULL OR %(hold)s = ANY (s.holds))
  AND (%(prefix)s::text IS NULL OR starts_with(s.order_id, %(prefix)s))
ORDER BY s.placed_position DESC
LIMIT %(limit)s

-- name: timeline
SELECT t.order_id, t.position, t.at, t.stream, t.version, t.type, t.summary
FROM order_timeline_v1 t
WHERE t.order_id = %(order_id)s AND t.position > %(after)s
ORDER BY t.position
LIMIT %(limit)s

-- name: stock
SELECT l.warehouse, l.sku, l.on_hand, l.allocated, l.backordered, l.available, l.received, l.shipped, l.adjusted, l.updated_at
FROM stock_levels_v1 l
WHERE (%(sku)s::text IS NULL OR l.sku = %(sku)s) AND (%(warehouse)s::text IS NULL OR l.warehouse = %(warehouse)s)
  AND (%(after_warehouse)s::text IS NULL OR (l.warehouse, l.sku) > (%(after_warehouse)s, %(after_sku)s))
ORDER BY l.warehouse, l.sku
LIMIT %(limit)s

-- name: counts
SELECT c.stage, c.orders FROM pipeline_counts_v1 c

-- name: totals
SELECT s.payment, s.fulfillment, coalesce(s.outcome, ''), s.currency, count(*), sum(s.total)::bigint,
    sum(s.authorized)::bigint, sum(s.captured)::bigint, sum(s.voided)::bigint
FROM order_summary_v1 s
GROUP BY 1, 2, 3, 4
ORDER BY 5 DESC, 1, 2, 3, 4
