-- Fences. Why they are raised and locked as they are: see 0008_fences.sql.

-- name: raise
SELECT raise_fence(%(name)s, %(epoch)s)

-- name: greatest
SELECT greatest((SELECT coalesce(max(epoch), 0) FROM fences), nextval('epochs'))

-- A transaction that is left open under a guard must not outlive the lease: then the server ends it, as in leases.sql.
-- name: guard
SELECT set_config('idle_in_transaction_session_timeout', %(time_ms)s::integer::text, true),
    CASE WHEN current_setting('server_version_num')::integer >= 170000 THEN
        set_config('transaction_timeout', (20000 + %(time_ms)s)::integer::text, true) END
FROM fences f
WHERE f.name = %(name)s AND f.epoch = %(epoch)s
FOR SHARE
