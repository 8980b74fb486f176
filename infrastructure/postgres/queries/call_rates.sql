-- How fast dependencies may be asked, by all workers together.

-- name: begin
INSERT INTO call_rates (dependency, next_at) VALUES (%(dependency)s, '-infinity') ON CONFLICT DO NOTHING

-- name: take
UPDATE call_rates r
SET next_at = g.start + make_interval(secs => g.granted / %(rate)s::double precision)
FROM (
    SELECT s.start, least(%(wanted)s::double precision,
        floor(extract(epoch FROM s.now - s.start)::double precision * %(rate)s::double precision + 1e-6)) AS granted
    FROM (
        SELECT n.now, greatest(l.next_at, n.now - make_interval(secs => %(burst_s)s::double precision)) AS start
        FROM (SELECT c.next_at FROM call_rates c WHERE c.dependency = %(dependency)s FOR UPDATE) l,
            LATERAL (SELECT clock_timestamp() AS now) n
    ) s
) g
WHERE r.dependency = %(dependency)s
RETURNING greatest(g.granted, 0)::integer

-- name: give_back
UPDATE call_rates r SET next_at = r.next_at - make_interval(secs => %(seconds)s::double precision)
WHERE r.dependency = %(dependency)s
