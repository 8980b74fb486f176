-- name: find_request
-- The remembered call with this key, if any.
SELECT id, operation, body_hash, status, answer, acted_at, attempts, generation
FROM requests
WHERE service = :service AND key = :key AND forgotten_at IS NULL

-- name: add_request
INSERT INTO requests (service, key, operation, body_hash, status, answer, first_at, acted_at, attempts, generation)
VALUES (:service, :key, :operation, :body_hash, :status, :answer, :at, :acted_at, 1, :generation)

-- name: count_attempt
UPDATE requests SET attempts = attempts + 1 WHERE id = :id

-- name: record_answer
-- A call that had only been refused for technical reasons so far.
UPDATE requests
SET operation = :operation, body_hash = :body_hash, status = :status, answer = :answer, acted_at = :acted_at,
    attempts = attempts + 1
WHERE id = :id

-- name: forget_request
UPDATE requests SET forgotten_at = :at WHERE id = :id

-- name: last_forgotten
-- What an inquiry may still see when its window is longer than that of the keys.
SELECT id, operation, body_hash, status, answer, acted_at, attempts, generation
FROM requests
WHERE service = :service AND key = :key AND forgotten_at IS NOT NULL
ORDER BY id DESC LIMIT 1

-- name: add_call
INSERT INTO calls (at, operation, subject, fault) VALUES (:at, :operation, :subject, :fault)

-- name: count_fault
INSERT INTO faults (operation, fault, count) VALUES (:operation, :fault, 1)
ON CONFLICT (operation, fault) DO UPDATE SET count = count + 1

-- name: add_control
INSERT INTO controls (at, behaviour) VALUES (:at, :behaviour)

-- name: add_authorization
INSERT INTO authorizations (reference, key, order_id, amount, currency, at, expires_at)
VALUES (:reference, :key, :order_id, :amount, :currency, :at, :expires_at)

-- name: find_authorization
SELECT order_id, amount, currency, captured, voided, voided_at, expires_at
FROM authorizations
WHERE reference = :reference

-- name: add_decline
INSERT INTO declines (key, order_id, amount, currency, code, hard, at)
VALUES (:key, :order_id, :amount, :currency, :code, :hard, :at)

-- name: has_declined
SELECT 1 FROM declines WHERE order_id = :order_id LIMIT 1

-- name: add_capture
INSERT INTO captures (reference, key, authorization, order_id, amount, currency, at)
VALUES (:reference, :key, :authorization, :order_id, :amount, :currency, :at)

-- name: take_from_authorization
UPDATE authorizations SET captured = captured + :amount WHERE reference = :reference

-- name: add_void
INSERT INTO voids (reference, key, authorization, order_id, amount, currency, at)
VALUES (:reference, :key, :authorization, :order_id, :amount, :currency, :at)

-- name: free_authorization
UPDATE authorizations SET voided = amount - captured, voided_at = :at WHERE reference = :reference

-- name: add_label
INSERT INTO labels (tracking, key, fulfillment_id, warehouse, country, units, cost, currency, at)
VALUES (:tracking, :key, :fulfillment_id, :warehouse, :country, :units, :cost, :currency, :at)

-- name: last_label
SELECT tracking FROM labels ORDER BY at DESC, tracking LIMIT 1

-- name: find_parcel
SELECT labels.refunded_at, scans.scan_id, scans.at, scans.delivered_at
FROM labels LEFT JOIN scans ON scans.tracking = labels.tracking
WHERE labels.tracking = :tracking

-- name: refund_label
UPDATE labels SET refund_key = :key, refunded_at = :at WHERE tracking = :tracking

-- name: add_scan
INSERT INTO scans (tracking, scan_id, key, at, delivered_at) VALUES (:tracking, :scan_id, :key, :at, :delivered_at)

-- name: add_mail
INSERT INTO mails (message_id, key, order_id, customer_id, template, facts, at)
VALUES (:message_id, :key, :order_id, :customer_id, :template, :facts, :at)

-- name: add_risk_answer
INSERT INTO risk_answers (key, order_id, decision, score, at) VALUES (:key, :order_id, :decision, :score, :at)

-- name: sum_authorized
SELECT currency, SUM(amount), SUM(captured), SUM(voided) FROM authorizations GROUP BY currency ORDER BY currency

-- name: sum_captured
SELECT currency, SUM(amount) FROM captures GROUP BY currency ORDER BY currency

-- name: sum_voided
SELECT currency, SUM(amount) FROM voids GROUP BY currency ORDER BY currency

-- name: page_authorize
SELECT rowid, key, reference, amount, currency, at FROM authorizations WHERE rowid > :after ORDER BY rowid LIMIT :limit

-- name: page_capture
SELECT rowid, key, reference, amount, currency, at FROM captures WHERE rowid > :after ORDER BY rowid LIMIT :limit

-- name: page_void
SELECT rowid, key, reference, amount, currency, at FROM voids WHERE rowid > :after ORDER BY rowid LIMIT :limit

-- name: counts
SELECT 'authorizations', COUNT(*) FROM authorizations
UNION ALL SELECT 'declines', COUNT(*) FROM declines
UNION ALL SELECT 'captures', COUNT(*) FROM captures
UNION ALL SELECT 'voids', COUNT(*) FROM voids
UNION ALL SELECT 'labels', COUNT(*) FROM labels
UNION ALL SELECT 'refunded_labels', COUNT(*) FROM labels WHERE refunded_at IS NOT NULL
UNION ALL SELECT 'scans', COUNT(*) FROM scans
UNION ALL SELECT 'mails', COUNT(*) FROM mails
UNION ALL SELECT 'risk_answers', COUNT(*) FROM risk_answers
UNION ALL SELECT 'requests', COUNT(*) FROM requests
UNION ALL SELECT 'forgotten_keys', COUNT(*) FROM requests WHERE forgotten_at IS NOT NULL

-- name: count_calls
SELECT at / 1000, operation, COUNT(*), COUNT(fault) FROM calls GROUP BY 1, 2 ORDER BY 1, 2

-- name: count_faults
SELECT operation || '.' || fault, count FROM faults ORDER BY 1
