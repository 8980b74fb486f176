-- Fences. Why they are raised and locked as they are: see 0008_fences.sql.

-- Lower than any epoch that is ever given out, so that whoever raises a fence finds one.
-- name: begin
INSERT INTO fences (name, epoch) VALUES (%(name)s, 1) ON CONFLICT DO NOTHING

-- An epoch is accepted once: a cluster that was set back comes to the same revisions again.
-- name: raise
SELECT CASE (SELECT f.epoch < %(epoch)s FROM fences f WHERE f.name = %(name)s FOR UPDATE SKIP LOCKED)
    WHEN true THEN raise_fence(%(name)s, %(epoch)s)
    WHEN false THEN false
END

-- name: greatest
SELECT greatest((SELECT coalesce(max(epoch), 0) FROM fences), nextval('epochs'))

-- name: highest
SELECT coalesce(max(f.epoch), 0) FROM fences f

-- A transaction that is left open under a guard must not outlive the lease: then the server ends it, as in leases.sql.
-- name: guard
SELECT set_config('idle_in_transaction_session_timeout', %(time_ms)s::integer::text, true),
    CASE WHEN current_setting('server_version_num')::integer >= 170000 THEN
        set_config('transaction_timeout', (20000 + %(time_ms)s)::integer::text, true) END
FROM fences f
WHERE f.name = %(name)s AND f.epoch = %(epoch)s
FOR SHARE
