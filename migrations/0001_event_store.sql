-- The event log, the work list and who works on it.
--
-- Events are the truth. A unit (one order's events with the work that follows from them) is written by append_units alone, which
-- checks versions and fences inside the transaction. Global order has no holes for readers: append_units takes a shared advisory
-- lock before the sequence gives out positions; a reader that saw position H waits until nobody who held that lock then still
-- holds it, and may trust everything up to H. Only append_units inserts events, and the sequence has no cache: the argument needs
-- both.
--
-- Advisory locks: (7301, 1) shared by appenders; (7302, holder) the beacon of a process; bigint keys are consistency keys.

CREATE SEQUENCE event_positions CACHE 1;

CREATE TABLE events (
    position bigint PRIMARY KEY DEFAULT nextval('event_positions'),
    stream text COLLATE "C" NOT NULL,
    version integer NOT NULL CHECK (version > 0),
    type text COLLATE "C" NOT NULL,
    schema smallint NOT NULL,
    data jsonb NOT NULL,
    meta jsonb NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT events_stream_version UNIQUE (stream, version)
);

CREATE FUNCTION events_are_for_ever() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'events are append-only' USING ERRCODE = 'insufficient_privilege';
END $$;

CREATE TRIGGER events_are_for_ever BEFORE UPDATE OR DELETE OR TRUNCATE ON events
    FOR EACH STATEMENT EXECUTE FUNCTION events_are_for_ever();

-- What was asked for from outside, so that asking again does nothing. Steps need no row here: their epoch guards them.
CREATE TABLE commands (
    id text COLLATE "C" PRIMARY KEY,
    done_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Who works: a row a process, renewed by it. A holder whose row is gone or expired, or whose beacon is gone, has lost its runs.
CREATE SEQUENCE epochs CACHE 1;

CREATE TABLE holders (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    epoch bigint NOT NULL DEFAULT nextval('epochs'),
    has_beacon boolean NOT NULL,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz NOT NULL
);

-- The work list: what is wanted, due, running or dead. A finished run has no row; the events tell what it did.
CREATE TABLE step_runs (
    order_id text COLLATE "C" NOT NULL,
    step text COLLATE "C" NOT NULL,
    part integer NOT NULL,
    ordinal integer NOT NULL,
    state text COLLATE "C" NOT NULL CHECK (state IN ('ready', 'running', 'dead')),
    attempts integer NOT NULL DEFAULT 0,
    holder integer,
    epoch bigint,
    due_at timestamptz NOT NULL,
    wake_at timestamptz NOT NULL,
    first_tried_at timestamptz,
    failed_at timestamptz[] NOT NULL DEFAULT '{}',
    last_error text,
    crashes integer NOT NULL DEFAULT 0,
    lost_by integer,
    parked_on text COLLATE "C",
    PRIMARY KEY (order_id, step, part, ordinal)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);

COMMENT ON COLUMN step_runs.wake_at IS 'when somebody should announce the run, or announce it again';
COMMENT ON COLUMN step_runs.failed_at IS 'when each of the failed attempts that count was made';
COMMENT ON COLUMN step_runs.crashes IS 'holders in a row that vanished while they had the run; two make it a suspect';
COMMENT ON COLUMN step_runs.lost_by IS 'the holder that vanished with the run, until somebody else claims it';
COMMENT ON COLUMN step_runs.parked_on IS 'the dependency whose breaker sent the run back';

CREATE INDEX step_runs_wake ON step_runs (wake_at) WHERE state = 'ready';
CREATE INDEX step_runs_holder ON step_runs (holder) WHERE state = 'running';
CREATE INDEX step_runs_suspects ON step_runs (due_at) WHERE state = 'ready' AND crashes >= 2;
CREATE INDEX step_runs_lost ON step_runs (lost_by) WHERE lost_by IS NOT NULL;
