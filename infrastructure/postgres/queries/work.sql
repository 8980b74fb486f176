-- The work list: claims, announcements, orphans, holders.

-- name: claim
WITH due AS (
    SELECT r.order_id, r.step, r.part, r.ordinal
    FROM step_runs r
    WHERE r.order_id = ANY (%(orders)b::text[]) AND r.step = ANY (%(steps)b::text[])
      AND r.state = 'ready' AND r.crashes < 2 AND r.due_at <= clock_timestamp()
    FOR UPDATE SKIP LOCKED
)
UPDATE step_runs r
SET state = 'running', attempts = r.attempts + 1, holder = %(holder)s, epoch = nextval('epochs'),
    first_tried_at = coalesce(r.first_tried_at, clock_timestamp()), parked_on = NULL, lost_by = NULL
FROM due
WHERE (r.order_id, r.step, r.part, r.ordinal) = (due.order_id, due.step, due.part, due.ordinal)
RETURNING r.order_id, r.step, r.part, r.ordinal, r.attempts, r.epoch, r.crashes, r.failed_at[1], clock_timestamp()

-- name: claim_due
-- `ahead`: how far the announcement of what is due may lie ahead. Nothing beyond has to be looked at.
WITH due AS (
    SELECT r.order_id, r.step, r.part, r.ordinal
    FROM step_runs r
    WHERE r.state = 'ready' AND r.wake_at <= statement_timestamp() + %(ahead)s AND r.due_at <= clock_timestamp()
      AND r.crashes < 2 AND r.step = ANY (%(steps)b::text[])
    ORDER BY r.wake_at
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
)
UPDATE step_runs r
SET state = 'running', attempts = r.attempts + 1, holder = %(holder)s, epoch = nextval('epochs'),
    first_tried_at = coalesce(r.first_tried_at, clock_timestamp()), parked_on = NULL, lost_by = NULL
FROM due
WHERE (r.order_id, r.step, r.part, r.ordinal) = (due.order_id, due.step, due.part, due.ordinal)
RETURNING r.order_id, r.step, r.part, r.ordinal, r.attempts, r.epoch, r.crashes, r.failed_at[1], clock_timestamp()

-- name: wake
-- The time of the statement, which the index can use: however many timers lie in the future, they are not looked at.
WITH due AS (
    SELECT r.order_id, r.step, r.part, r.ordinal
    FROM step_runs r
    WHERE r.state = 'ready' AND r.wake_at <= statement_timestamp() AND r.due_at <= clock_timestamp()
      AND r.crashes < 2 AND r.step = ANY (%(steps)b::text[])
    ORDER BY r.wake_at
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
)
UPDATE step_runs r
SET wake_at = clock_timestamp() + interval '10 s'
FROM due
WHERE (r.order_id, r.step, r.part, r.ordinal) = (due.order_id, due.step, due.part, due.ordinal)
RETURNING r.step, r.order_id

-- name: wake_portion
-- Who has no partition only looks at what has waited for long, and that is where the index ends for it.
WITH due AS (
    SELECT r.order_id, r.step, r.part, r.ordinal
    FROM step_runs r
    WHERE r.state = 'ready' AND r.due_at <= clock_timestamp()
      AND r.wake_at <= statement_timestamp()
          - CASE WHEN %(mine)s::integer[] = '{}' THEN %(patience)s::interval ELSE interval '0' END
      AND (r.wake_at <= clock_timestamp() - %(patience)s::interval
          OR partition_of(r.order_id, %(partitions)s) = ANY (%(mine)s::integer[]))
      AND r.crashes < 2 AND r.step = ANY (%(steps)b::text[])
    ORDER BY r.wake_at
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
)
UPDATE step_runs r
SET wake_at = clock_timestamp() + interval '10 s'
FROM due
WHERE (r.order_id, r.step, r.part, r.ordinal) = (due.order_id, due.step, due.part, due.ordinal)
RETURNING r.step, r.order_id

-- name: partitions
SELECT p.partitions FROM role_partitions p WHERE p.role = %(role)s

-- name: set_partitions
INSERT INTO role_partitions AS p (role, partitions) VALUES (%(role)s, %(partitions)s)
ON CONFLICT (role) DO UPDATE SET partitions = excluded.partitions, changed_at = clock_timestamp()
WHERE p.partitions <> excluded.partitions

-- name: claim_suspect
WITH due AS (
    SELECT r.order_id, r.step, r.part, r.ordinal
    FROM step_runs r
    WHERE r.state = 'ready' AND r.crashes >= 2 AND r.due_at <= clock_timestamp() AND r.step = ANY (%(steps)b::text[])
    ORDER BY r.due_at
    LIMIT 1
    FOR UPDATE SKIP LOCKED
)
UPDATE step_runs r
SET state = 'running', attempts = r.attempts + 1, holder = %(holder)s, epoch = nextval('epochs'),
    first_tried_at = coalesce(r.first_tried_at, clock_timestamp()), parked_on = NULL, lost_by = NULL
FROM due
WHERE (r.order_id, r.step, r.part, r.ordinal) = (due.order_id, due.step, due.part, due.ordinal)
RETURNING r.order_id, r.step, r.part, r.ordinal, r.attempts, r.epoch, r.crashes, r.failed_at[1], clock_timestamp()

-- name: suspects_wait
SELECT EXISTS (
    SELECT FROM step_runs r
    WHERE r.state = 'ready' AND r.crashes >= 2 AND r.due_at <= clock_timestamp() - %(patience)s::interval
      AND r.step = ANY (%(steps)b::text[]))

-- name: forgive
UPDATE step_runs r
SET attempts = greatest(r.attempts - cardinality(r.failed_at) + cardinality(k.kept), 0), failed_at = k.kept
FROM (
    SELECT s.order_id, s.step, s.part, s.ordinal, ARRAY(SELECT f FROM unnest(s.failed_at) f WHERE f < %(since)s) AS kept
    FROM step_runs s
    WHERE s.step = ANY (%(steps)b::text[]) AND s.state <> 'dead'
      AND s.failed_at[cardinality(s.failed_at)] >= %(since)s
    FOR UPDATE SKIP LOCKED
) k
WHERE (r.order_id, r.step, r.part, r.ordinal) = (k.order_id, k.step, k.part, k.ordinal)

-- name: overlook
UPDATE step_runs r
SET failed_at = k.moved
FROM (
    SELECT s.order_id, s.step, s.part, s.ordinal,
        ARRAY(SELECT CASE WHEN f < %(began)s THEN f + (%(ended)s - %(began)s) ELSE f END FROM unnest(s.failed_at) f ORDER BY 1) AS moved
    FROM step_runs s
    WHERE s.step = ANY (%(steps)b::text[]) AND s.state <> 'dead' AND s.failed_at[1] < %(began)s
    FOR UPDATE SKIP LOCKED
) k
WHERE (r.order_id, r.step, r.part, r.ordinal) = (k.order_id, k.step, k.part, k.ordinal)

-- name: gone_holders
-- Asked several times a second: while every holder is there, the work list is not touched.
SELECT h.id
FROM holders h
WHERE h.expires_at <= clock_timestamp()
   OR (h.has_beacon AND NOT EXISTS (
          SELECT FROM pg_locks l
          WHERE l.locktype = 'advisory' AND l.classid = 7302 AND l.objid = h.id::oid AND l.objsubid = 2 AND l.granted
            AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())))

-- name: orphans
-- Due at random within a short time: what came into one batch when its worker ended should not all come into one batch again.
WITH lost AS (
    SELECT r.order_id, r.step, r.part, r.ordinal,
        clock_timestamp() + make_interval(secs => random() * 0.25 * least(r.crashes + 1, 8)) AS due
    FROM step_runs r
    WHERE r.state = 'running' AND r.holder = ANY (%(holders)s)
    FOR UPDATE SKIP LOCKED
)
UPDATE step_runs r
SET state = 'ready', attempts = r.attempts - 1, crashes = r.crashes + 1, lost_by = r.holder, holder = NULL, epoch = NULL,
    due_at = lost.due, wake_at = lost.due
FROM lost
WHERE (r.order_id, r.step, r.part, r.ordinal) = (lost.order_id, lost.step, lost.part, lost.ordinal)

-- name: unknown_holders
SELECT DISTINCT r.holder
FROM step_runs r
WHERE r.state = 'running' AND NOT EXISTS (SELECT FROM holders h WHERE h.id = r.holder)

-- name: excuse
UPDATE step_runs r
SET crashes = greatest(r.crashes - 1, 0), lost_by = NULL
WHERE r.lost_by = %(holder)s AND r.state = 'ready'

-- name: notice_history
SELECT notice_history()

-- name: register
INSERT INTO holders (name, has_beacon, expires_at)
VALUES (%(name)s, %(beacon)s, clock_timestamp() + %(lease)s)
RETURNING id, epoch

-- name: beacon
SELECT pg_try_advisory_lock(7302, %(holder)s)

-- name: renew
UPDATE holders SET expires_at = clock_timestamp() + %(lease)s
WHERE id = %(holder)s AND expires_at > clock_timestamp()
RETURNING id

-- name: give_back
UPDATE step_runs r
SET state = 'ready', attempts = r.attempts - 1, holder = NULL, epoch = NULL, due_at = clock_timestamp(), wake_at = clock_timestamp()
WHERE r.holder = %(holder)s AND r.state = 'running'

-- name: disown
UPDATE step_runs r
SET state = 'ready', holder = NULL, epoch = NULL, due_at = clock_timestamp(), wake_at = clock_timestamp()
WHERE r.holder = %(holder)s AND r.state = 'running'
  AND NOT EXISTS (
      SELECT FROM unnest(%(orders)b::text[], %(steps)b::text[], %(parts)b::integer[], %(ordinals)b::integer[], %(epochs)b::bigint[])
          AS h(order_id, step, part, ordinal, epoch)
      WHERE (h.order_id, h.step, h.part, h.ordinal, h.epoch) = (r.order_id, r.step, r.part, r.ordinal, r.epoch))

-- name: unregister
DELETE FROM holders WHERE id = %(holder)s

-- name: forget_holders
DELETE FROM holders h
WHERE h.expires_at < clock_timestamp() - interval '1 hour'
  AND NOT EXISTS (SELECT FROM step_runs r WHERE r.holder = h.id)

-- name: runs
SELECT r.order_id, r.step, r.part, r.ordinal, r.state, r.attempts, r.due_at, r.wake_at, r.holder, r.epoch, r.last_error,
    r.crashes, r.parked_on
FROM step_runs r
WHERE %(order)s::text IS NULL OR r.order_id = %(order)s
ORDER BY r.order_id, r.due_at

-- name: insert_missing
INSERT INTO step_runs (order_id, step, part, ordinal, state, due_at, wake_at)
SELECT w.order_id, w.step, w.part, w.ordinal, 'ready',
    coalesce(w.due, clock_timestamp()), coalesce(w.due, clock_timestamp())
FROM unnest(%(orders)b::text[], %(steps)b::text[], %(parts)b::integer[], %(ordinals)b::integer[], %(dues)b::timestamptz[])
    AS w(order_id, step, part, ordinal, due)
ON CONFLICT DO NOTHING

-- name: dead_letters
SELECT d.id, d.kind, d.order_id, d.step, d.part, d.ordinal, d.attempts, d.reason, d.origin, d.body, d.first_tried_at, d.died_at
FROM dead_letters d
ORDER BY d.id
