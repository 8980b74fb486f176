-- Leases. Why the guard takes the lock that it takes: see 0006_leases.sql.

-- name: take
SELECT take_lease(%(name)s, %(holder)s, %(time)s, %(outside)s)

-- name: renew
WITH alive AS (
    UPDATE holders SET expires_at = clock_timestamp() + %(time)s
    WHERE id = %(holder)s AND expires_at > clock_timestamp()
    RETURNING id
), kept AS (
    UPDATE leases l SET expires_at = clock_timestamp() + %(time)s
    FROM alive
    WHERE l.holder = alive.id AND l.expires_at > clock_timestamp()
    RETURNING l.epoch
)
SELECT alive.id, kept.epoch FROM alive LEFT JOIN kept ON true

-- A transaction that is left open under a guard must not outlive the lease: then the server ends it. It knows the time that is left.
-- Whoever is frozen in the midst of a statement is not idle: for that there is a time-out from PostgreSQL 17 on, with some time to spare.
-- name: guard
SELECT set_config(
        'idle_in_transaction_session_timeout',
        greatest(1000, extract(epoch FROM l.expires_at - clock_timestamp()) * 1000)::integer::text, true),
    CASE WHEN current_setting('server_version_num')::integer >= 170000 THEN set_config(
        'transaction_timeout',
        (20000 + greatest(1000, extract(epoch FROM l.expires_at - clock_timestamp()) * 1000))::integer::text, true) END
FROM leases l
WHERE l.name = %(name)s AND l.epoch = %(epoch)s AND l.expires_at > clock_timestamp()
FOR KEY SHARE

-- name: release
UPDATE leases SET holder = NULL, since = NULL, expires_at = NULL
WHERE name = %(name)s AND epoch = %(epoch)s AND holder = %(holder)s
RETURNING name

-- name: release_all
UPDATE leases SET holder = NULL, since = NULL, expires_at = NULL WHERE holder = %(holder)s RETURNING name

-- name: rows
SELECT l.name, coalesce(h.name, 'holder ' || l.holder), l.epoch, l.since, l.expires_at, l.outside,
    CASE WHEN h.id IS NULL THEN false WHEN h.has_beacon THEN NOT holder_is_gone(h.id) END,
    l.expires_at > clock_timestamp() AND (l.outside OR NOT holder_is_gone(l.holder))
FROM leases l
LEFT JOIN holders h ON h.id = l.holder
WHERE l.holder IS NOT NULL
ORDER BY l.name
