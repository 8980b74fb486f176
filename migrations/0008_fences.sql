-- Fences: the greatest epoch under which each leased name was ever given out by a table of leases outside this database (etcd).
--
-- A row is raised when a lease is taken, before the taker is told. Whoever writes what the lease protects locks the row FOR SHARE in
-- the same transaction and finds its own epoch there: so a lease is not taken while such a transaction is open, and once it was taken
-- nothing more is written under an older epoch. Raising does not wait for the lock either: the taker comes again.
--
-- Rows are never deleted: what begins again without a memory, such as a cluster that was wiped, learns from them where to go on.

CREATE TABLE fences (
    name text COLLATE "C" PRIMARY KEY,
    epoch bigint NOT NULL CHECK (epoch > 0),
    raised_at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 50);

-- True if the epoch is the greatest now, false if a greater one was there, NULL if it cannot be told now: somebody writes under the
-- lease, or the lease of that name in this database (0006_leases.sql) is held, because not everybody has moved to the other table yet.
CREATE FUNCTION raise_fence(of_name text, to_epoch bigint) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    current bigint;
BEGIN
    INSERT INTO fences (name, epoch) VALUES (of_name, to_epoch) ON CONFLICT DO NOTHING;
    SELECT f.epoch INTO current FROM fences f WHERE f.name = of_name FOR UPDATE SKIP LOCKED;
    IF NOT FOUND OR lease_is_held(of_name) THEN
        RETURN NULL;
    END IF;
    IF current > to_epoch THEN
        RETURN false;
    END IF;
    UPDATE fences f SET epoch = to_epoch, raised_at = clock_timestamp() WHERE f.name = of_name AND f.epoch < to_epoch;
    RETURN true;
END $$;
