-- What `orderwright doctor` and the auditor ask.

-- name: server
SELECT current_setting('server_version'), current_setting('server_version_num')::integer, current_setting('fsync'),
    current_setting('synchronous_commit'), current_setting('full_page_writes'), current_setting('in_hot_standby') = 'on'

-- name: work
SELECT count(*) FILTER (WHERE r.state = 'ready' AND r.due_at <= clock_timestamp()),
    count(*) FILTER (WHERE r.state = 'ready' AND r.due_at > clock_timestamp()),
    count(*) FILTER (WHERE r.state = 'running'),
    count(*) FILTER (WHERE r.state = 'dead'),
    count(*) FILTER (WHERE r.state = 'running' AND NOT EXISTS (
        SELECT FROM holders h WHERE h.id = r.holder AND h.expires_at > clock_timestamp())),
    coalesce(extract(epoch FROM clock_timestamp() - min(r.due_at) FILTER (
        WHERE r.state = 'ready' AND r.due_at <= clock_timestamp())), 0)::double precision
FROM step_runs r

-- name: missing
SELECT w.order_id, w.step, w.part, w.ordinal
FROM unnest(%(orders)b::text[], %(steps)b::text[], %(parts)b::integer[], %(ordinals)b::integer[])
    AS w(order_id, step, part, ordinal)
WHERE NOT EXISTS (
    SELECT FROM step_runs r
    WHERE (r.order_id, r.step, r.part, r.ordinal) = (w.order_id, w.step, w.part, w.ordinal))

-- name: dead_letters
SELECT count(*) FROM dead_letters WHERE state = 'open'

-- name: events
SELECT count(*), coalesce(max(e.position), 0) FROM events e

-- name: is_append_only
SELECT count(*) = 1 FROM pg_trigger t
WHERE t.tgrelid = to_regclass('events') AND t.tgname = 'events_are_for_ever' AND t.tgenabled IN ('O', 'A')

-- name: broken_streams
SELECT e.stream FROM events e GROUP BY e.stream
HAVING count(*) <> max(e.version) OR min(e.version) <> 1
ORDER BY e.stream LIMIT 5

-- name: shared_tracking
SELECT e.data ->> 'tracking', array_agg(substr(e.stream, 13) ORDER BY e.position) -- after `fulfillment-`
FROM events e
WHERE e.type = 'LabelPurchased'
GROUP BY 1 HAVING count(*) > 1
ORDER BY min(e.position) LIMIT 5

-- name: strain
SELECT (SELECT count(*) FROM pg_prepared_xacts x WHERE x.database = current_database()),
    coalesce(extract(epoch FROM clock_timestamp() - a.xact_start), 0)::double precision,
    coalesce(a.pid, 0), coalesce(a.application_name, ''),
    (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),
    current_setting('max_connections')::integer,
    pg_notification_queue_usage()
FROM (SELECT 1) AS always
LEFT JOIN (
    SELECT a.xact_start, a.pid, a.application_name FROM pg_stat_activity a
    WHERE a.xact_start IS NOT NULL AND a.backend_type = 'client backend' AND a.pid <> pg_backend_pid()
    ORDER BY a.xact_start LIMIT 1) AS a ON true

-- name: pgmq
SELECT m.name FROM orderwright_migrations m WHERE m.version = 0
