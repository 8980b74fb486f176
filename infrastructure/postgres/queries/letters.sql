-- Dead letters: kept by the keeper, read page by page, decided about. What is listed leaves the bodies where they are.

-- name: keep
INSERT INTO dead_letters AS d
    (kind, reason, origin, message_id, body, body_size, body_sha256, headers, copy_id)
VALUES ('message', %(reason)s, %(origin)s, %(message_id)s, %(body)s, %(size)s, %(sha256)s, %(headers)s, %(copy_id)s)
ON CONFLICT (origin, message_id, body_sha256) WHERE kind = 'message' DO UPDATE
SET copy_id = CASE WHEN excluded.copy_id = '' THEN d.copy_id ELSE excluded.copy_id END,
    deaths = d.deaths + CASE WHEN excluded.copy_id IN ('', d.copy_id) THEN 0 ELSE 1 END,
    state = CASE WHEN excluded.copy_id IN ('', d.copy_id) THEN d.state ELSE 'open' END,
    reason = CASE WHEN excluded.copy_id IN ('', d.copy_id) THEN d.reason ELSE excluded.reason END,
    died_at = CASE WHEN excluded.copy_id IN ('', d.copy_id) THEN d.died_at ELSE excluded.died_at END
RETURNING d.id

-- name: columns
SELECT d.id, d.state, d.order_id, d.step, d.part, d.ordinal, d.attempts, d.deaths, d.reason, d.cause, d.cause_hash, d.origin,
    d.message_id, coalesce(d.body_size, 0), coalesce(d.body_sha256, ''), d.original_of, d.first_tried_at, d.first_died_at, d.died_at,
    d.noted_by, d.noted_at, d.noted_reason, d.headers, NULL::bytea
FROM dead_letters d

-- name: whole
SELECT d.id, d.state, d.order_id, d.step, d.part, d.ordinal, d.attempts, d.deaths, d.reason, d.cause, d.cause_hash, d.origin,
    d.message_id, coalesce(d.body_size, 0), coalesce(d.body_sha256, ''), d.original_of, d.first_tried_at, d.first_died_at, d.died_at,
    d.noted_by, d.noted_at, d.noted_reason, d.headers, d.body
FROM dead_letters d
WHERE d.id = ANY (%(ids)s::bigint[])
ORDER BY d.id

-- name: take
SELECT d.id, d.state, d.order_id, d.step, d.part, d.ordinal, d.attempts, d.deaths, d.reason, d.cause, d.cause_hash, d.origin,
    d.message_id, coalesce(d.body_size, 0), coalesce(d.body_sha256, ''), d.original_of, d.first_tried_at, d.first_died_at, d.died_at,
    d.noted_by, d.noted_at, d.noted_reason, d.headers, NULL::bytea
FROM dead_letters d
WHERE d.id = ANY (%(ids)s::bigint[])
ORDER BY d.id
FOR UPDATE

-- name: unknown_orders
SELECT o.id
FROM unnest(%(orders)s::text[]) WITH ORDINALITY AS o(id, n)
WHERE NOT EXISTS (SELECT FROM events e WHERE e.stream = 'order-' || o.id)
ORDER BY o.n

-- name: groups
SELECT d.cause_hash, max(d.id) AS newest, count(*) AS letters, min(d.first_died_at) AS first_died_at, max(d.died_at) AS died_at
FROM dead_letters d

-- name: of_groups
SELECT g.cause_hash, coalesce(l.step, l.origin), l.cause, l.reason, g.letters, g.first_died_at, g.died_at
FROM

-- name: note
UPDATE dead_letters d
SET state = n.state, noted_by = n.by, noted_reason = n.reason, noted_at = clock_timestamp()
FROM unnest(%(ids)s::bigint[], %(states)s::text[], %(by)s::text[], %(reasons)s::text[]) AS n(id, state, by, reason)
WHERE d.id = n.id

-- name: copy
INSERT INTO dead_letters
    (kind, reason, origin, message_id, body, body_size, body_sha256, headers, original_of, noted_by, noted_at, noted_reason)
SELECT 'message', d.reason, d.origin, 'letter-' || d.id || '-' || left(%(sha256)s, 8), %(body)s, %(size)s, %(sha256)s, d.headers, d.id,
    %(by)s, clock_timestamp(), %(reason)s
FROM dead_letters d
WHERE d.id = %(original)s
ON CONFLICT (origin, message_id, body_sha256) WHERE kind = 'message' DO UPDATE SET state = 'open'
RETURNING id
