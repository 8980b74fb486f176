-- The books of the outside world. Times are milliseconds since 1970, amounts are minor units.
-- Read it while the simulator runs with: file:PATH?mode=ro

-- Every call that carried an idempotency key. `answer` and `status` stay NULL until the service has acted.
CREATE TABLE IF NOT EXISTS requests (
    id           INTEGER PRIMARY KEY,
    service      TEXT NOT NULL,               -- payments, carrier, mail, risk
    key          TEXT NOT NULL,
    operation    TEXT NOT NULL,
    body_hash    TEXT NOT NULL,
    status       INTEGER,
    answer       TEXT,
    first_at     INTEGER NOT NULL,
    acted_at     INTEGER,
    attempts     INTEGER NOT NULL,
    generation   INTEGER NOT NULL,            -- how often the key had been forgotten before
    forgotten_at INTEGER
) STRICT;
CREATE UNIQUE INDEX IF NOT EXISTS requests_by_key ON requests (service, key) WHERE forgotten_at IS NULL;
CREATE INDEX IF NOT EXISTS requests_forgotten ON requests (service, key) WHERE forgotten_at IS NOT NULL;

CREATE TABLE IF NOT EXISTS authorizations (
    reference  TEXT PRIMARY KEY,
    key        TEXT NOT NULL,
    order_id   TEXT NOT NULL,
    amount     INTEGER NOT NULL CHECK (amount > 0),
    currency   TEXT NOT NULL,
    captured   INTEGER NOT NULL DEFAULT 0 CHECK (captured BETWEEN 0 AND amount),
    voided     INTEGER NOT NULL DEFAULT 0 CHECK (voided BETWEEN 0 AND amount - captured),
    voided_at  INTEGER,
    at         INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS authorizations_by_order ON authorizations (order_id);

CREATE TABLE IF NOT EXISTS declines (
    key      TEXT NOT NULL,
    order_id TEXT NOT NULL,
    amount   INTEGER NOT NULL,
    currency TEXT NOT NULL,
    code     TEXT NOT NULL,
    hard     INTEGER NOT NULL,
    at       INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS declines_by_order ON declines (order_id);

CREATE TABLE IF NOT EXISTS captures (
    reference     TEXT PRIMARY KEY,
    key           TEXT NOT NULL,
    authorization TEXT NOT NULL REFERENCES authorizations (reference),
    order_id      TEXT NOT NULL,
    amount        INTEGER NOT NULL CHECK (amount > 0),
    currency      TEXT NOT NULL,
    at            INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS captures_by_order ON captures (order_id);

CREATE TABLE IF NOT EXISTS voids (
    reference     TEXT PRIMARY KEY,
    key           TEXT NOT NULL,
    authorization TEXT NOT NULL REFERENCES authorizations (reference),
    order_id      TEXT NOT NULL,
    amount        INTEGER NOT NULL,           -- what the void set free
    currency      TEXT NOT NULL,
    at            INTEGER NOT NULL
) STRICT;

CREATE TABLE IF NOT EXISTS labels (
    tracking       TEXT PRIMARY KEY,
    key            TEXT NOT NULL,
    fulfillment_id TEXT NOT NULL,
    warehouse      TEXT NOT NULL,
    country        TEXT NOT NULL,
    units          INTEGER NOT NULL,
    cost           INTEGER NOT NULL,
    currency       TEXT NOT NULL,
    at             INTEGER NOT NULL,
    refund_key     TEXT,
    refunded_at    INTEGER
) STRICT;
CREATE INDEX IF NOT EXISTS labels_by_fulfillment ON labels (fulfillment_id);

CREATE TABLE IF NOT EXISTS scans (
    tracking     TEXT PRIMARY KEY REFERENCES labels (tracking),
    scan_id      TEXT NOT NULL UNIQUE,
    key          TEXT NOT NULL,
    at           INTEGER NOT NULL,
    delivered_at INTEGER NOT NULL             -- decided at the scan; in transit until then
) STRICT;

CREATE TABLE IF NOT EXISTS mails (
    message_id  TEXT PRIMARY KEY,
    key         TEXT NOT NULL,
    order_id    TEXT NOT NULL,
    customer_id TEXT NOT NULL,
    template    TEXT NOT NULL,
    facts       TEXT NOT NULL,                -- a JSON object
    at          INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS mails_by_order ON mails (order_id);

CREATE TABLE IF NOT EXISTS risk_answers (
    key      TEXT NOT NULL,
    order_id TEXT NOT NULL,
    decision TEXT NOT NULL,
    score    INTEGER NOT NULL,
    at       INTEGER NOT NULL
) STRICT;

-- Every call that reached a door, also those that did nothing: a checker counts by it who was called when.
CREATE TABLE IF NOT EXISTS calls (
    at        INTEGER NOT NULL,
    operation TEXT NOT NULL,
    subject   TEXT NOT NULL,                  -- the idempotency key, or the parcel that was asked about
    fault     TEXT
) STRICT;

-- What was injected, and every change of behaviour: the ledger says why a run went as it did.
CREATE TABLE IF NOT EXISTS faults (
    operation TEXT NOT NULL,
    fault     TEXT NOT NULL,
    count     INTEGER NOT NULL,
    PRIMARY KEY (operation, fault)
) STRICT;

CREATE TABLE IF NOT EXISTS controls (
    at        INTEGER NOT NULL,
    behaviour TEXT NOT NULL                   -- the whole behaviour from then on, as JSON
) STRICT;
