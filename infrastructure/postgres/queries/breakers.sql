-- Circuit breakers: the shared rows, the record of their changes, and how busy the dependencies normally are.

-- name: now
SELECT clock_timestamp()

-- name: read
SELECT b.dependency, b.version, b.state, b.since, b.why, b.forced, b.forced_until, b.failure_rate, b.troubled_since, b.openings,
    b.probe_at, b.hold_until, b.issued, b.succeeded, b.failed, b.normal_rate, b.release_rate, b.steady_until, b.tokens, b.tokens_at,
    b.permit_ids, b.permit_holders, b.permit_expiries
FROM breakers b

-- name: insert
INSERT INTO breakers (
    dependency, version, state, since, why, forced, forced_until, failure_rate, troubled_since, openings, probe_at, hold_until,
    issued, succeeded, failed, normal_rate, release_rate, steady_until, tokens, tokens_at,
    permit_ids, permit_holders, permit_expiries)
VALUES (
    %(dependency)s, 1, %(state)s, %(since)s, %(why)s, %(forced)s, %(forced_until)s, %(failure_rate)s,
    %(troubled_since)s, %(openings)s, %(probe_at)s, %(hold_until)s, %(issued)s, %(succeeded)s, %(failed)s, %(normal_rate)s,
    %(release_rate)s, %(steady_until)s, %(tokens)s, %(tokens_at)s,
    %(permit_ids)s::bigint[], %(permit_holders)s::text[], %(permit_expiries)s::timestamptz[])
ON CONFLICT DO NOTHING

-- name: update
UPDATE breakers b
SET version = b.version + 1, state = %(state)s, since = %(since)s, why = %(why)s, forced = %(forced)s,
    forced_until = %(forced_until)s, failure_rate = %(failure_rate)s, troubled_since = %(troubled_since)s,
    openings = %(openings)s, probe_at = %(probe_at)s, hold_until = %(hold_until)s, issued = %(issued)s,
    succeeded = %(succeeded)s, failed = %(failed)s, normal_rate = %(normal_rate)s, release_rate = %(release_rate)s,
    steady_until = %(steady_until)s, tokens = %(tokens)s, tokens_at = %(tokens_at)s,
    permit_ids = %(permit_ids)s::bigint[], permit_holders = %(permit_holders)s::text[],
    permit_expiries = %(permit_expiries)s::timestamptz[]
WHERE b.dependency = %(dependency)s AND b.version = %(version)s

-- name: record
INSERT INTO breaker_transitions (dependency, before, after, why, who, process)
SELECT %(dependency)s, c.before, c.after, c.why, c.who, %(process)s
FROM unnest(%(befores)s::text[], %(afters)s::text[], %(whys)s::text[], %(whos)s::text[])
    WITH ORDINALITY AS c(before, after, why, who, n)
ORDER BY c.n

-- name: transitions
SELECT t.dependency, t.at, t.before, t.after, t.why, t.who, t.process
FROM breaker_transitions t
WHERE %(dependency)s::text IS NULL OR t.dependency = %(dependency)s
ORDER BY t.id DESC
LIMIT %(limit)s

-- name: count
INSERT INTO breaker_calls (slot, dependency, calls)
SELECT c.slot, c.dependency, c.calls
FROM unnest(%(slots)s::bigint[], %(dependencies)s::text[], %(calls)s::bigint[]) AS c(slot, dependency, calls)
ORDER BY c.slot, c.dependency
ON CONFLICT (slot, dependency) DO UPDATE SET calls = breaker_calls.calls + excluded.calls

-- name: forget_calls
DELETE FROM breaker_calls c WHERE c.slot < %(before)s

-- name: normal_calls
SELECT coalesce(percentile_disc(0.5) WITHIN GROUP (ORDER BY c.calls), 0)
FROM breaker_calls c
WHERE c.dependency = %(dependency)s
  AND c.slot BETWEEN floor(extract(epoch FROM clock_timestamp()) / %(slot_s)s) - 3600 / %(slot_s)s
                 AND floor(extract(epoch FROM clock_timestamp()) / %(slot_s)s) - 1
HAVING count(*) >= 3

-- name: waiting
SELECT count(*)
FROM (
    SELECT FROM step_runs r
    WHERE r.state = 'ready' AND r.due_at <= clock_timestamp() AND r.crashes < 2 AND r.step = ANY (%(steps)s::text[])
    LIMIT %(limit)s
) AS w
