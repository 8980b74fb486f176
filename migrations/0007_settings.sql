-- Settings that change while the program runs: one row a version, the whole document in each.
--
-- A change is the insertion of the next version; who inserts a version that is there already was too late. `document` is json and not
-- jsonb, so that what is read is letter for letter what was written. The rows are the record of who changed what and why, so nothing
-- may alter them. The one notification of the schema is here: settings change seldom, and whoever misses it looks for himself.

CREATE TABLE settings_changes (
    version bigint PRIMARY KEY CHECK (version > 0),
    request text COLLATE "C" NOT NULL UNIQUE,
    document json NOT NULL CHECK (octet_length(document::text) <= 65536),
    who text NOT NULL CHECK (who <> ''),
    why text NOT NULL CHECK (why <> ''),
    at timestamptz NOT NULL DEFAULT clock_timestamp()
);

COMMENT ON COLUMN settings_changes.request IS 'unique for each change that somebody wanted: repeating it after a lost answer changes nothing';

CREATE FUNCTION settings_are_a_record() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'settings_changes is append-only' USING ERRCODE = 'insufficient_privilege';
END $$;

CREATE TRIGGER settings_are_a_record BEFORE UPDATE OR DELETE OR TRUNCATE ON settings_changes
    FOR EACH STATEMENT EXECUTE FUNCTION settings_are_a_record();

CREATE FUNCTION tell_of_settings() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('orderwright_settings', '');
    RETURN NULL;
END $$;

CREATE TRIGGER tell_of_settings AFTER INSERT ON settings_changes FOR EACH STATEMENT EXECUTE FUNCTION tell_of_settings();

-- How fast each dependency may be asked, by all workers together: when the next run may be begun, carried forward with every grant.
CREATE TABLE call_rates (
    dependency text COLLATE "C" PRIMARY KEY,
    next_at timestamptz NOT NULL
) WITH (fillfactor = 50);
