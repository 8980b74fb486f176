-- Reading and appending events. Data comes as text: psycopg's own jsonb loader halves the read rate.

-- name: append
SELECT unit, outcome, stream, expected, current, at
FROM append_units(
    %(locks)b::text[],
    %(u_group)b::integer[], %(u_command)b::text[], %(u_meta)b::text[],
    %(c_unit)b::integer[], %(c_stream)b::text[], %(c_expected)b::integer[],
    %(e_unit)b::integer[], %(e_stream)b::text[], %(e_version)b::integer[], %(e_type)b::text[], %(e_schema)b::integer[],
    %(e_data)b::text[],
    %(s_unit)b::integer[], %(s_order)b::text[], %(s_step)b::text[], %(s_part)b::integer[], %(s_ordinal)b::integer[],
    %(s_epoch)b::bigint[], %(s_state)b::text[], %(s_due)b::double precision[], %(s_keep)b::boolean[], %(s_error)b::text[],
    %(s_park)b::text[],
    %(w_unit)b::integer[], %(w_order)b::text[], %(w_step)b::text[], %(w_part)b::integer[], %(w_ordinal)b::integer[],
    %(w_due)b::timestamptz[], %(w_carried)b::boolean[],
    %(d_unit)b::integer[], %(d_order)b::text[], %(d_step)b::text[], %(d_part)b::integer[], %(d_ordinal)b::integer[],
    %(v_unit)b::integer[], %(v_order)b::text[], %(v_step)b::text[], %(v_part)b::integer[], %(v_ordinal)b::integer[],
    %(n_unit)b::integer[], %(n_order)b::text[],
    %(holder)s::integer, %(epoch)s::bigint)

-- name: lock
SELECT lock_keys(%(keys)b::text[])

-- name: read
SELECT e.position, e.stream, e.version, e.type, e.schema, e.data::text, e.meta::text, e.recorded_at
FROM unnest(%(streams)b::text[], %(after)b::integer[]) AS s(stream, after)
JOIN events e ON e.stream = s.stream AND e.version > s.after
ORDER BY e.stream, e.version

-- name: read_orders
SELECT e.position, e.stream, e.version, e.type, e.schema, e.data::text, e.meta::text, e.recorded_at
FROM unnest(%(orders)b::text[]) AS o(id)
CROSS JOIN LATERAL (
    SELECT * FROM events own
    WHERE own.stream = ANY (ARRAY['order-' || o.id, 'payment-' || o.id, 'process-' || o.id])
    UNION ALL
    SELECT * FROM events parcel
    WHERE parcel.stream > 'fulfillment-' || o.id || '+' AND parcel.stream < 'fulfillment-' || o.id || ','
) e
ORDER BY e.position

-- name: read_all
SELECT e.position, e.stream, e.version, e.type, e.schema, e.data::text, e.meta::text, e.recorded_at
FROM events e
WHERE e.position > %(after)s AND e.position <= %(up_to)s
ORDER BY e.position
LIMIT %(limit)s

-- name: read_category
SELECT e.position, e.stream, e.version, e.type, e.schema, e.data::text, e.meta::text, e.recorded_at
FROM events e
WHERE e.position > %(after)s AND e.position <= %(up_to)s AND e.stream LIKE %(pattern)s
ORDER BY e.position
LIMIT %(limit)s

-- name: head
SELECT coalesce((SELECT e.position FROM events e ORDER BY e.position DESC LIMIT 1), 0)

-- name: appenders
SELECT l.virtualtransaction
FROM pg_locks l
WHERE l.locktype = 'advisory' AND l.classid = 7301 AND l.objid = 1 AND l.objsubid = 2 AND l.granted
  AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())

-- name: now
SELECT clock_timestamp()
