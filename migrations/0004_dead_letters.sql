-- What a person has to decide: runs that cannot go on, and messages that nobody could read.
--
-- A letter is one run, or one message: what dies again is the same letter, opened again and counted. So a list is as long as there
-- are things to decide, however often they were tried. Who decided what and why is in the events (the order's process stream, or
-- `letter-{id}`); the row says only what came of it last.
--
-- Letters of one cause share a group: the class of the error, its words without ids and numbers, and the step or queue. The twin of
-- these functions for the store in memory is `domain/causes.py`; one test compares them.

CREATE FUNCTION letter_cause(reason text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT coalesce(substring(reason FROM '^([A-Z][A-Za-z]+): '), '')
$$;

-- A quoted text and a word with a digit in it vary from case to case; a number of three digits is a status code and says something.
CREATE FUNCTION letter_words(reason text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT regexp_replace(
        regexp_replace(left(reason, 500), '''[^'']*''|"[^"]*"', '*', 'g'),
        '(?<![A-Za-z0-9_+/-])(?![1-5][0-9][0-9](?![A-Za-z0-9_+/-]))[A-Za-z_+/-]*[0-9][A-Za-z0-9_+/-]*(?:\.[0-9][A-Za-z0-9_+/-]*)*', '#', 'g')
$$;

CREATE FUNCTION letter_group(place text, reason text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT left(encode(sha256(replace(place || ' ' || letter_words(reason), '\', '/')::bytea), 'hex'), 8)
$$;

CREATE TABLE dead_letters (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text COLLATE "C" NOT NULL CHECK (kind IN ('run', 'message')),
    state text COLLATE "C" NOT NULL DEFAULT 'open'
        CHECK (state IN ('open', 'retried', 'discarded', 'edited', 'concluded', 'obsolete')),
    order_id text COLLATE "C",
    step text COLLATE "C",
    part integer,
    ordinal integer,
    attempts integer NOT NULL DEFAULT 0,
    deaths integer NOT NULL DEFAULT 1,
    reason text NOT NULL,
    cause text COLLATE "C" NOT NULL GENERATED ALWAYS AS (letter_cause(reason)) STORED,
    cause_hash text COLLATE "C" NOT NULL GENERATED ALWAYS AS (letter_group(coalesce(step, origin), reason)) STORED,
    origin text COLLATE "C" NOT NULL DEFAULT '',
    message_id text COLLATE "C" NOT NULL DEFAULT '',
    body bytea CHECK (octet_length(body) <= 65536),
    body_size bigint,
    body_sha256 text COLLATE "C",
    headers jsonb CHECK (octet_length(headers::text) <= 262144),
    copy_id text COLLATE "C",
    original_of bigint REFERENCES dead_letters,
    first_tried_at timestamptz,
    first_died_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    died_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    noted_by text,
    noted_at timestamptz,
    noted_reason text,
    CONSTRAINT a_run_or_a_message CHECK ((kind = 'run') = (step IS NOT NULL))
);

COMMENT ON COLUMN dead_letters.deaths IS 'how often it came here: 1, and one more for every retry that ended here again';
COMMENT ON COLUMN dead_letters.body IS 'the first 64 KiB; body_size and body_sha256 are those of the whole message';
COMMENT ON COLUMN dead_letters.copy_id IS 'the copy that the broker brought last, so that one brought twice counts once';
COMMENT ON COLUMN dead_letters.original_of IS 'of an edited copy: the letter that it was made from';

CREATE UNIQUE INDEX dead_letters_run ON dead_letters (order_id, step, part, ordinal) WHERE kind = 'run';
CREATE UNIQUE INDEX dead_letters_message ON dead_letters (origin, message_id, body_sha256) WHERE kind = 'message';
CREATE INDEX dead_letters_state ON dead_letters (state, id);
CREATE INDEX dead_letters_group ON dead_letters (cause_hash, state, id);
