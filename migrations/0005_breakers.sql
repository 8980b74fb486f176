-- Circuit breakers, shared by all processes: one row a dependency, changed by compare-and-set on its version.
--
-- The rules are in domain/breaker_machine.py; nothing here decides. A dependency without a row is closed and never was otherwise.

CREATE TABLE breakers (
    dependency text COLLATE "C" PRIMARY KEY,
    version bigint NOT NULL CHECK (version > 0),
    state text COLLATE "C" NOT NULL CHECK (state IN ('closed', 'open', 'half_open', 'recovering')),
    since timestamptz NOT NULL,
    why text NOT NULL,
    forced boolean NOT NULL,
    forced_until timestamptz,
    failure_rate double precision NOT NULL,
    troubled_since timestamptz NOT NULL,
    openings integer NOT NULL,
    probe_at timestamptz NOT NULL,
    hold_until timestamptz NOT NULL,
    permit_ids bigint[] NOT NULL,
    permit_holders text[] NOT NULL,
    permit_expiries timestamptz[] NOT NULL,
    issued bigint NOT NULL,
    succeeded integer NOT NULL,
    failed integer NOT NULL,
    normal_rate double precision NOT NULL,
    release_rate double precision NOT NULL,
    steady_until timestamptz NOT NULL,
    tokens double precision NOT NULL,
    tokens_at timestamptz NOT NULL
) WITH (fillfactor = 50);

COMMENT ON COLUMN breakers.hold_until IS 'the dependency asked for a pause until then (Retry-After)';
COMMENT ON COLUMN breakers.normal_rate IS 'calls a second while it was closed; 0: too few to tell';

-- Every change of state: who wanted it ('' the breaker itself), why, and which process wrote it.
CREATE TABLE breaker_transitions (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    dependency text COLLATE "C" NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    before text COLLATE "C" NOT NULL,
    after text COLLATE "C" NOT NULL,
    why text NOT NULL,
    who text NOT NULL,
    process text NOT NULL
);

CREATE INDEX ON breaker_transitions (dependency, id);

CREATE FUNCTION transitions_are_a_record() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'breaker_transitions is append-only' USING ERRCODE = 'insufficient_privilege';
END $$;

CREATE TRIGGER transitions_are_a_record BEFORE UPDATE OR DELETE OR TRUNCATE ON breaker_transitions
    FOR EACH STATEMENT EXECUTE FUNCTION transitions_are_a_record();

-- Calls that succeeded while closed, by slot of time, of all processes: what "the normal rate" is. Kept for two hours.
CREATE TABLE breaker_calls (
    slot bigint NOT NULL,
    dependency text COLLATE "C" NOT NULL,
    calls bigint NOT NULL,
    PRIMARY KEY (slot, dependency)
) WITH (fillfactor = 70);
