-- Partitions: the events of a read model, and the due work of the relays, shared out by a hash of what they belong to.
--
-- The partition of an order is that of its id, whichever stream of it an event is in; the partition of stock is that of its warehouse
-- and SKU. So every row of a read model is written by one partition, but for the counts of orders by stage, to which each adds.
--
-- checkpoints keeps one row a read model, as before. While it is not partitioned that row is its checkpoint, under its old name and
-- with its old meaning: a projector from before this migration goes on with it. In several partitions the checkpoints are rows
-- `NAME/0`, `NAME/1`, ...; the row NAME then has no position, so that whoever knows nothing of partitions cannot take it for one (a
-- projector from before ends with an error there, and has written nothing).
--
-- The number changes while projectors run:
--
--     want_partitions    locks every checkpoint of the model: the furthest position is the barrier, and no partition goes beyond it
--     projectors         bring their partitions to the barrier, each exactly there
--     swap_partitions    whoever sees one there tries: if all are, new rows take the place of the old ones, all at the barrier
--
-- Each is one transaction, and nothing else is remembered anywhere, so whoever dies leaves a state from which anybody goes on.
-- Rows are locked in the order of their names, the one without a partition first.

-- 0 .. partitions - 1, by the first 24 bits of the SHA-256 of the key; a backslash counts as a slash. Others compute it too: it stays.
CREATE FUNCTION partition_of(key text, partitions integer) RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT ('x' || left(encode(sha256(replace(key, '\', '/')::bytea), 'hex'), 6))::bit(24)::integer % partitions
$$;

-- What the partition of a stream's events depends on: the order's id, for stock the warehouse and SKU.
CREATE FUNCTION partition_key(stream text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN starts_with(stream, 'fulfillment-')
        THEN left(substr(stream, 13), -strpos(reverse(stream), '+'))
        ELSE substr(stream, strpos(stream, '-') + 1) END
$$;

ALTER TABLE checkpoints
    ALTER COLUMN position DROP NOT NULL,
    ADD COLUMN model text COLLATE "C" NOT NULL GENERATED ALWAYS AS (split_part(name, '/', 1)) STORED,
    ADD COLUMN partition integer GENERATED ALWAYS AS (nullif(split_part(name, '/', 2), '')::integer) STORED,
    ADD COLUMN partitions integer NOT NULL DEFAULT 1 CHECK (partitions BETWEEN 1 AND 64),
    ADD COLUMN wanted integer CHECK (wanted BETWEEN 1 AND 64),
    ADD COLUMN barrier bigint,
    ADD CONSTRAINT a_position_or_partitions CHECK ((position IS NULL) = (partitions > 1 AND partition IS NULL));

COMMENT ON COLUMN checkpoints.position IS 'everything up to here is applied; NULL: see the rows of the partitions';
COMMENT ON COLUMN checkpoints.wanted IS 'the number of partitions to be, once each partition is at the barrier';
COMMENT ON COLUMN checkpoints.barrier IS 'while the number is being changed: no partition goes beyond this position';

-- True: it has that many now. False: not before every partition is at the barrier. Asked for what there is, it gives up a change.
CREATE FUNCTION want_partitions(of_model text, n integer) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    now_there integer;
    furthest bigint;
BEGIN
    IF n NOT BETWEEN 1 AND 64 THEN
        RAISE EXCEPTION 'a read model has 1 to 64 partitions' USING ERRCODE = 'check_violation';
    END IF;
    INSERT INTO checkpoints (name) VALUES (of_model) ON CONFLICT DO NOTHING;
    SELECT c.partitions INTO now_there FROM checkpoints c WHERE c.name = of_model FOR UPDATE;
    PERFORM FROM checkpoints c WHERE c.model = of_model AND c.partition IS NOT NULL ORDER BY c.name FOR UPDATE;
    SELECT max(c.position) INTO furthest FROM checkpoints c WHERE c.model = of_model;
    UPDATE checkpoints c
    SET wanted = CASE WHEN c.partition IS NULL THEN nullif(n, now_there) END,
        barrier = CASE WHEN n <> now_there THEN furthest END
    WHERE c.model = of_model;
    RETURN n = now_there OR swap_partitions(of_model);
END $$;

-- The change itself, if it is wanted and every partition is at the barrier; tells whether it was made.
CREATE FUNCTION swap_partitions(of_model text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    n integer;
    place bigint;
BEGIN
    SELECT c.wanted, c.barrier INTO n, place FROM checkpoints c WHERE c.name = of_model FOR UPDATE;
    PERFORM FROM checkpoints c WHERE c.model = of_model AND c.partition IS NOT NULL ORDER BY c.name FOR UPDATE;
    IF n IS NULL OR EXISTS (SELECT FROM checkpoints c WHERE c.model = of_model AND c.position <> place) THEN
        RETURN false;
    END IF;
    DELETE FROM checkpoints c WHERE c.model = of_model AND c.partition IS NOT NULL;
    UPDATE checkpoints c
    SET partitions = n, wanted = NULL, barrier = NULL, position = CASE WHEN n = 1 THEN place END,
        state = 'running', stopped_at = NULL, reason = '', moved_at = clock_timestamp()
    WHERE c.name = of_model;
    INSERT INTO checkpoints (name, position, partitions)
    SELECT of_model || '/' || k, place, n FROM generate_series(0, n - 1) AS k WHERE n > 1;
    RETURN true;
END $$;

-- How many partitions the work of a role has that is not about read models: it keeps no position, so a new number just holds.
CREATE TABLE role_partitions (
    role text COLLATE "C" PRIMARY KEY,
    partitions integer NOT NULL CHECK (partitions BETWEEN 1 AND 64),
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

INSERT INTO role_partitions (role, partitions) VALUES ('relay', 1);
