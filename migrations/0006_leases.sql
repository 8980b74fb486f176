-- Leases: who may use a named thing, until when, and under which epoch.
--
-- A row stays when its lease is given back, so that epochs of a name only grow: the sequence is asked while the row is locked.
-- Whoever writes what a lease protects locks the row FOR KEY SHARE in the same transaction and finds its own epoch there. That lock
-- stands in the way of the FOR UPDATE with which a lease is taken, and not in the way of a renewal, so a long write does not cost its
-- own lease. Nobody waits for a row here: who finds it locked comes again.

CREATE TABLE leases (
    name text COLLATE "C" PRIMARY KEY,
    holder integer,
    epoch bigint NOT NULL DEFAULT 0,
    outside boolean NOT NULL DEFAULT false,
    since timestamptz,
    expires_at timestamptz,
    CONSTRAINT held_or_free CHECK ((holder IS NULL) = (expires_at IS NULL) AND (holder IS NULL) = (since IS NULL))
) WITH (fillfactor = 50);

COMMENT ON COLUMN leases.outside IS 'protects what cannot check an epoch: taken after its expiry only, even if its holder is gone';

-- Its row is gone, or it has a beacon and the beacon is out. The beacon is the advisory lock (7302, holder) of its session.
CREATE FUNCTION holder_is_gone(of_holder integer) RETURNS boolean LANGUAGE sql VOLATILE AS $$
    SELECT NOT EXISTS (
        SELECT FROM holders h
        WHERE h.id = of_holder
          AND (NOT h.has_beacon OR EXISTS (
              SELECT FROM pg_locks l
              WHERE l.locktype = 'advisory' AND l.classid = 7302 AND l.objid = h.id::oid AND l.objsubid = 2 AND l.granted
                AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()))))
$$;

-- Nobody may have it now: somebody does whose time is not over and who is not seen to be gone.
CREATE FUNCTION lease_is_held(wanted text) RETURNS boolean LANGUAGE sql VOLATILE AS $$
    SELECT EXISTS (
        SELECT FROM leases l
        WHERE l.name = wanted AND l.holder IS NOT NULL AND l.expires_at > clock_timestamp()
          AND (l.outside OR NOT holder_is_gone(l.holder)))
$$;

-- The new epoch, or NULL if the lease is not to be had. Who waits asks often, so a lease that is held is looked at without a lock.
CREATE FUNCTION take_lease(wanted text, by_holder integer, for_time interval, is_outside boolean) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    new_epoch bigint;
BEGIN
    IF lease_is_held(wanted) OR holder_is_gone(by_holder) THEN
        RETURN NULL;
    END IF;
    INSERT INTO leases (name) VALUES (wanted) ON CONFLICT DO NOTHING;
    PERFORM FROM leases l WHERE l.name = wanted FOR UPDATE SKIP LOCKED;
    IF FOUND AND NOT lease_is_held(wanted) THEN
        UPDATE leases l
        SET holder = by_holder, epoch = nextval('epochs'), outside = is_outside,
            since = clock_timestamp(), expires_at = clock_timestamp() + for_time
        WHERE l.name = wanted
        RETURNING l.epoch INTO new_epoch;
    END IF;
    RETURN new_epoch;
END $$;
