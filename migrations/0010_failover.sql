-- What must not begin anew when a database goes back in time: after a failover that lost commits, or a restore from a backup.
--
-- The numbers below are also remembered outside of the database, by processes that lived through it. A sequence that goes on behind
-- them would give the epoch of somebody who is gone to somebody else, and a fence that both may pass is none. A promotion or a recovery
-- begins a new timeline, a copy made by pg_dump lives in another system; whoever registers as a holder, and only holders get epochs,
-- notices that first:
--
--     holders.id, epochs    go on far beyond whatever can have been given out
--     settings_changes      the document in force gets a version beyond whatever can have been seen
--
-- Positions of events may be given again: readers have their checkpoints in the same database, and went back with it.

CREATE TABLE histories (
    system bigint NOT NULL,
    timeline bigint NOT NULL,
    noticed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    head bigint NOT NULL,
    PRIMARY KEY (system, timeline)
);

COMMENT ON TABLE histories IS 'every server and timeline that this database has lived on, and the last event that was there at first';

-- Zeros where the server does not tell; then there is nothing to notice.
CREATE FUNCTION this_history(OUT system bigint, OUT timeline bigint) LANGUAGE plpgsql AS $$
BEGIN
    system := (SELECT c.system_identifier FROM pg_control_system() AS c);
    timeline := ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::bigint;
EXCEPTION WHEN insufficient_privilege OR undefined_function OR feature_not_supported THEN
    system := 0;
    timeline := 0;
END $$;

-- True: this was the first who noticed. Two at once meet on the primary key, so the second goes on only after the jump.
CREATE FUNCTION notice_history() RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    mine record;
BEGIN
    SELECT * INTO mine FROM this_history();
    IF EXISTS (SELECT FROM histories h WHERE h.system = mine.system AND h.timeline = mine.timeline) THEN
        RETURN false;
    END IF;
    INSERT INTO histories (system, timeline, head)
    SELECT mine.system, mine.timeline, coalesce(max(e.position), 0) FROM events e
    ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM setval('epochs', nextval('epochs') + 1000000000);
    PERFORM setval(pg_get_serial_sequence('holders', 'id'), nextval(pg_get_serial_sequence('holders', 'id')) + 100000);
    INSERT INTO settings_changes (version, request, document, who, why)
    SELECT coalesce(max(c.version), 0) + 1000, 'history ' || mine.system || '/' || mine.timeline,
        coalesce((SELECT n.document FROM settings_changes n ORDER BY n.version DESC LIMIT 1), '{}'),
        'orderwright', 'the database has begun a new timeline; changes that it lost are taken back'
    FROM settings_changes c;
    RETURN true;
END $$;

DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION notice_history() SET search_path = %I, pg_temp', current_schema());
END $$;

INSERT INTO histories (system, timeline, head)
SELECT h.system, h.timeline, coalesce((SELECT max(e.position) FROM events e), 0) FROM this_history() AS h;
