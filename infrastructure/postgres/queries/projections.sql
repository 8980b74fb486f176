-- Checkpoints, pages of events and the tables on the side. Advisory locks: see 0003_read_models.sql.

-- name: take
SELECT pg_try_advisory_xact_lock(7303, hashtext(%(name)s))

-- A partition locks its model as well, but so that others may: whoever rebuilds the model has that lock to itself.
-- name: take_partitions
SELECT n.name
FROM unnest(%(names)s::text[]) AS n(name)
WHERE pg_try_advisory_xact_lock_shared(7303, hashtext(%(model)s)) AND pg_try_advisory_xact_lock(7303, hashtext(n.name))

-- name: wait_for
SELECT pg_advisory_xact_lock(7303, hashtext(%(name)s))

-- name: reserve_rebuild
SELECT pg_try_advisory_lock(7304, hashtext(%(name)s))

-- name: release_rebuilds
SELECT pg_advisory_unlock_all()

-- name: begin
INSERT INTO checkpoints (name) VALUES (%(name)s) ON CONFLICT DO NOTHING

-- name: checkpoints
SELECT c.name, c.position, c.stopped_at, c.partitions, c.partition, c.barrier
FROM checkpoints c
WHERE c.name = ANY (%(names)s)
ORDER BY c.name
FOR UPDATE

-- name: names
SELECT m.name, c.name
FROM unnest(%(models)s::text[]) WITH ORDINALITY AS m(name, place)
LEFT JOIN checkpoints c ON c.model = m.name AND c.position IS NOT NULL
ORDER BY m.place, c.partition

-- name: positions
SELECT c.position, c.partitions, coalesce(c.partition, 0)
FROM checkpoints c
WHERE c.model = %(name)s AND c.position IS NOT NULL

-- name: want_partitions
SELECT want_partitions(%(name)s, %(partitions)s)

-- name: swap_partitions
SELECT swap_partitions(%(name)s)

-- name: move
UPDATE checkpoints
SET position = %(position)s, state = 'running', stopped_at = NULL, reason = '', moved_at = clock_timestamp()
WHERE name = ANY (%(names)s)

-- name: stop
UPDATE checkpoints
SET position = %(position)s, state = 'stopped', stopped_at = %(stopped_at)s, reason = %(reason)s,
    moved_at = clock_timestamp()
WHERE name = %(name)s

-- name: rebuilt
UPDATE checkpoints SET rebuilds = rebuilds + 1 WHERE name = %(name)s

-- name: page
SELECT e.position, e.stream, e.version, e.type, e.schema, e.data::text, e.recorded_at
FROM events e
WHERE e.position > %(after)s AND e.position <= %(up_to)s
ORDER BY e.position
LIMIT %(limit)s

-- name: page_of_partitions
SELECT e.position, e.stream, e.version, e.type, e.schema, e.data::text, e.recorded_at
FROM events e
WHERE e.position > %(after)s AND e.position <= %(up_to)s
  AND partition_of(partition_key(e.stream), %(partitions)s) = ANY (%(mine)s)
ORDER BY e.position
LIMIT %(limit)s

-- name: status
SELECT n.name, p.position, h.head,
    (SELECT extract(epoch FROM clock_timestamp() - e.recorded_at)::double precision
     FROM events e
     WHERE e.position > p.position
     ORDER BY e.position
     LIMIT 1),
    CASE
        WHEN p.stopped THEN 'stopped'
        WHEN EXISTS (
            SELECT FROM pg_locks l
            WHERE l.locktype = 'advisory' AND l.classid = 7304 AND l.objsubid = 2 AND l.granted
              AND l.objid::bigint = hashtext(n.name)::bigint & 4294967295
              AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()))
        THEN 'rebuilding'
        WHEN c.wanted IS NOT NULL THEN 'repartitioning'
        ELSE 'running'
    END,
    p.reason, coalesce(c.rebuilds, 0), coalesce(c.partitions, 1), c.wanted, c.barrier, p.positions
FROM unnest(%(names)s::text[]) WITH ORDINALITY AS n(name, place)
LEFT JOIN checkpoints c ON c.name = n.name
CROSS JOIN (SELECT coalesce(max(e.position), 0) AS head FROM events e) AS h
CROSS JOIN LATERAL (
    SELECT coalesce(min(r.position), 0) AS position, coalesce(bool_or(r.state = 'stopped'), false) AS stopped,
        coalesce(string_agg(CASE WHEN r.partition IS NULL THEN '' ELSE 'partition ' || r.partition || ': ' END || r.reason, '; '
            ORDER BY r.partition) FILTER (WHERE r.reason <> ''), '') AS reason,
        coalesce(array_agg(r.position ORDER BY r.partition), '{0}') AS positions
    FROM checkpoints r
    WHERE r.model = n.name AND r.position IS NOT NULL) AS p
ORDER BY n.place

-- name: put_first
SELECT set_config('search_path', quote_ident(%(schema)s::text) || ', ' || current_setting('search_path'), false)

-- name: lead_elsewhere
SELECT n.name
FROM unnest(%(names)s::text[]) AS n(name)
WHERE to_regclass(n.name) IS NULL OR to_regclass(n.name) IS DISTINCT FROM to_regclass(%(schema)s::text || '.' || n.name)

-- name: schema_and_options
SELECT c.relnamespace::regnamespace::text, coalesce(array_to_string(c.reloptions, ', '), '')
FROM pg_class c
WHERE c.oid = %(table)s::regclass
