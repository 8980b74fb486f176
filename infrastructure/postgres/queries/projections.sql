-- Checkpoints, pages of events and the tables on the side. Advisory locks: see 0003_read_models.sql.

-- name: take
SELECT pg_try_advisory_xact_lock(7303, hashtext(%(name)s))

-- name: wait_for
SELECT pg_advisory_xact_lock(7303, hashtext(%(name)s))

-- name: reserve_rebuild
SELECT pg_try_advisory_lock(7304, hashtext(%(name)s))

-- name: begin
INSERT INTO checkpoints (name) VALUES (%(name)s) ON CONFLICT DO NOTHING

-- name: checkpoint
SELECT c.position, c.stopped_at FROM checkpoints c WHERE c.name = %(name)s FOR UPDATE

-- name: position
SELECT coalesce((SELECT c.position FROM checkpoints c WHERE c.name = %(name)s), 0)

-- name: move
UPDATE checkpoints
SET position = %(position)s, state = 'running', stopped_at = NULL, reason = '', moved_at = clock_timestamp()
WHERE name = %(name)s

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

-- name: status
SELECT n.name, coalesce(c.position, 0), h.head,
    (SELECT extract(epoch FROM clock_timestamp() - e.recorded_at)::double precision
     FROM events e
     WHERE e.position > coalesce(c.position, 0)
     ORDER BY e.position
     LIMIT 1),
    CASE
        WHEN c.state = 'stopped' THEN 'stopped'
        WHEN EXISTS (
            SELECT FROM pg_locks l
            WHERE l.locktype = 'advisory' AND l.classid = 7304 AND l.objsubid = 2 AND l.granted
              AND l.objid::bigint = hashtext(n.name)::bigint & 4294967295
              AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()))
        THEN 'rebuilding'
        ELSE 'running'
    END,
    coalesce(c.reason, ''), coalesce(c.rebuilds, 0)
FROM unnest(%(names)s::text[]) WITH ORDINALITY AS n(name, place)
LEFT JOIN checkpoints c ON c.name = n.name
CROSS JOIN (SELECT coalesce(max(e.position), 0) AS head FROM events e) AS h
ORDER BY n.place

-- name: schema_and_options
SELECT c.relnamespace::regnamespace::text, coalesce(array_to_string(c.reloptions, ', '), '')
FROM pg_class c
WHERE c.oid = %(table)s::regclass
