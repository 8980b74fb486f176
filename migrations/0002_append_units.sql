-- append_units writes many units in one call: locks, fences, versions, events and the work that follows.
--
-- Every argument whose name starts with u_, c_, e_, s_, w_, d_, v_ or n_ is one column of a table passed as arrays:
--   u units (group, command or NULL, metadata)     c version checks        e events         s settled runs
--   w wanted runs       d dropped runs             v revived runs          n orders whose waiting plans are due now
-- Units that write to the same stream share a group; a refused unit takes its group with it. Returns a row for each refused unit
-- and a last row (unit -1) with the time. Statements are separate on purpose: at READ COMMITTED each sees what was committed
-- while the locks before it were waited for.

CREATE FUNCTION append_units(
    locks text[],
    u_group integer[], u_command text[], u_meta text[],
    c_unit integer[], c_stream text[], c_expected integer[],
    e_unit integer[], e_stream text[], e_version integer[], e_type text[], e_schema integer[], e_data text[],
    s_unit integer[], s_order text[], s_step text[], s_part integer[], s_ordinal integer[], s_epoch bigint[],
    s_state text[], s_due double precision[], s_keep boolean[], s_error text[], s_park text[],
    w_unit integer[], w_order text[], w_step text[], w_part integer[], w_ordinal integer[], w_due timestamptz[],
    w_carried boolean[],
    d_unit integer[], d_order text[], d_step text[], d_part integer[], d_ordinal integer[],
    v_unit integer[], v_order text[], v_step text[], v_part integer[], v_ordinal integer[],
    n_unit integer[], n_order text[],
    by_holder integer, by_epoch bigint
) RETURNS TABLE (unit integer, outcome text, stream text, expected integer, current integer, at timestamptz)
LANGUAGE plpgsql AS $$
DECLARE
    fenced integer[] := '{}';
    repeated integer[];
    conflicting integer[];
    refused integer[];
    good integer[];
BEGIN
    PERFORM lock_keys(locks);

    IF cardinality(s_unit) > 0 THEN
        PERFORM FROM step_runs r
        JOIN unnest(s_order, s_step, s_part, s_ordinal) AS s(order_id, step, part, ordinal)
            USING (order_id, step, part, ordinal)
        FOR UPDATE OF r;

        SELECT coalesce(array_agg(DISTINCT s.unit), '{}') INTO fenced
        FROM unnest(s_unit, s_order, s_step, s_part, s_ordinal, s_epoch) AS s(unit, order_id, step, part, ordinal, epoch)
        LEFT JOIN step_runs r
            ON r.order_id = s.order_id AND r.step = s.step AND r.part = s.part AND r.ordinal = s.ordinal
            AND r.state = 'running' AND r.epoch = s.epoch
        WHERE r.order_id IS NULL;
    END IF;

    SELECT coalesce(array_agg(u.n::integer - 1), '{}') INTO repeated
    FROM unnest(u_command) WITH ORDINALITY AS u(command, n)
    JOIN commands k ON k.id = u.command;

    SELECT coalesce(array_agg(DISTINCT c.unit), '{}') INTO conflicting
    FROM unnest(c_unit, c_stream, c_expected) AS c(unit, stream, expected)
    WHERE c.unit <> ALL (fenced) AND c.unit <> ALL (repeated) AND c.expected <> stream_version(c.stream);

    refused := fenced || repeated || conflicting;
    IF cardinality(refused) > 0 THEN
        RETURN QUERY SELECT f.unit, 'fenced', '', 0, 0, NULL::timestamptz FROM unnest(fenced) AS f(unit);
        RETURN QUERY SELECT r.unit, 'repeated', '', 0, 0, NULL::timestamptz FROM unnest(repeated) AS r(unit)
        WHERE r.unit <> ALL (fenced);
        RETURN QUERY SELECT DISTINCT ON (c.unit)
            c.unit, 'conflict', c.stream, c.expected, stream_version(c.stream), NULL::timestamptz
        FROM unnest(c_unit, c_stream, c_expected) AS c(unit, stream, expected)
        WHERE c.unit = ANY (conflicting) AND c.expected <> stream_version(c.stream);

        RETURN QUERY
        SELECT u.n::integer - 1, 'conflict', '', 0, 0, NULL::timestamptz
        FROM unnest(u_group) WITH ORDINALITY AS u(grp, n)
        WHERE u.n - 1 <> ALL (refused)
          AND u.grp IN (SELECT u_group[r.unit + 1] FROM unnest(refused) AS r(unit));

        SELECT coalesce(array_agg(u.n::integer - 1), '{}') INTO good
        FROM unnest(u_group) WITH ORDINALITY AS u(grp, n)
        WHERE u.grp NOT IN (SELECT u_group[r.unit + 1] FROM unnest(refused) AS r(unit));
    END IF;

    PERFORM pg_advisory_xact_lock_shared(7301, 1);

    INSERT INTO events (stream, version, type, schema, data, meta)
    SELECT e.stream, e.version, e.type, e.schema, e.data::jsonb, u.meta::jsonb
    FROM unnest(e_unit, e_stream, e_version, e_type, e_schema, e_data) WITH ORDINALITY
        AS e(unit, stream, version, type, schema, data, n)
    JOIN unnest(u_meta) WITH ORDINALITY AS u(meta, n) ON u.n = e.unit + 1
    WHERE good IS NULL OR e.unit = ANY (good)
    ORDER BY e.n;

    INSERT INTO commands (id)
    SELECT u.command FROM unnest(u_command) WITH ORDINALITY AS u(command, n)
    WHERE u.command IS NOT NULL AND (good IS NULL OR u.n - 1 = ANY (good));

    PERFORM change_work(
        good, s_unit, s_order, s_step, s_part, s_ordinal, s_state, s_due, s_keep, s_error, s_park,
        w_unit, w_order, w_step, w_part, w_ordinal, w_due, w_carried,
        d_unit, d_order, d_step, d_part, d_ordinal, v_unit, v_order, v_step, v_part, v_ordinal, n_unit, n_order,
        by_holder, by_epoch);

    RETURN QUERY SELECT -1, '', '', 0, 0, clock_timestamp();
END $$;

-- Where a stream stands; 0 if there is none.
CREATE FUNCTION stream_version(of_stream text) RETURNS integer LANGUAGE sql STABLE AS $$
    SELECT coalesce((SELECT e.version FROM events e WHERE e.stream = of_stream ORDER BY e.version DESC LIMIT 1), 0)
$$;

-- Takes consistency keys in the order of their hashes, so that no two takers wait for each other.
CREATE FUNCTION lock_keys(keys text[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    hash bigint;
BEGIN
    FOR hash IN SELECT DISTINCT hashtextextended(k, 0) AS h FROM unnest(keys) AS k ORDER BY h LOOP
        PERFORM pg_advisory_xact_lock(hash);
    END LOOP;
END $$;

-- The work list after the units in `good` (NULL: all of them).
CREATE FUNCTION change_work(
    good integer[],
    s_unit integer[], s_order text[], s_step text[], s_part integer[], s_ordinal integer[],
    s_state text[], s_due double precision[], s_keep boolean[], s_error text[], s_park text[],
    w_unit integer[], w_order text[], w_step text[], w_part integer[], w_ordinal integer[], w_due timestamptz[],
    w_carried boolean[],
    d_unit integer[], d_order text[], d_step text[], d_part integer[], d_ordinal integer[],
    v_unit integer[], v_order text[], v_step text[], v_part integer[], v_ordinal integer[],
    n_unit integer[], n_order text[],
    by_holder integer, by_epoch bigint
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    t timestamptz := clock_timestamp();
BEGIN
    IF cardinality(s_unit) > 0 THEN
        DELETE FROM step_runs r
        USING unnest(s_unit, s_order, s_step, s_part, s_ordinal, s_state) AS s(unit, order_id, step, part, ordinal, state)
        WHERE s.state = 'done' AND (good IS NULL OR s.unit = ANY (good))
          AND r.order_id = s.order_id AND r.step = s.step AND r.part = s.part AND r.ordinal = s.ordinal;
    END IF;

    IF 'ready' = ANY (s_state) OR 'dead' = ANY (s_state) THEN
        UPDATE step_runs r
        SET state = s.state, holder = NULL, epoch = NULL,
            attempts = r.attempts - CASE WHEN s.keep THEN 0 ELSE 1 END,
            failed_at = r.failed_at || CASE WHEN s.keep THEN ARRAY[t] ELSE '{}' END,
            crashes = CASE WHEN s.park = '' THEN 0 ELSE r.crashes END,
            parked_on = nullif(s.park, ''),
            due_at = CASE WHEN s.park = '' THEN t + make_interval(secs => s.due) ELSE r.due_at END,
            wake_at = CASE WHEN s.park = '' THEN t + make_interval(secs => s.due) ELSE r.due_at END,
            last_error = coalesce(nullif(s.error, ''), r.last_error)
        FROM unnest(s_unit, s_order, s_step, s_part, s_ordinal, s_state, s_due, s_keep, s_error, s_park)
            AS s(unit, order_id, step, part, ordinal, state, due, keep, error, park)
        WHERE s.state IN ('ready', 'dead') AND (good IS NULL OR s.unit = ANY (good))
          AND r.order_id = s.order_id AND r.step = s.step AND r.part = s.part AND r.ordinal = s.ordinal;

        INSERT INTO dead_letters AS d (kind, order_id, step, part, ordinal, attempts, reason, first_tried_at)
        SELECT 'run', r.order_id, r.step, r.part, r.ordinal, r.attempts, s.error, r.first_tried_at
        FROM unnest(s_unit, s_order, s_step, s_part, s_ordinal, s_state, s_error)
            AS s(unit, order_id, step, part, ordinal, state, error)
        JOIN step_runs r
            ON r.order_id = s.order_id AND r.step = s.step AND r.part = s.part AND r.ordinal = s.ordinal
        WHERE s.state = 'dead' AND (good IS NULL OR s.unit = ANY (good))
        ON CONFLICT (order_id, step, part, ordinal) WHERE kind = 'run' DO UPDATE
        SET state = 'open', attempts = excluded.attempts, reason = excluded.reason, deaths = d.deaths + 1, died_at = excluded.died_at;
    END IF;

    IF cardinality(d_unit) > 0 THEN
        WITH gone AS (
            DELETE FROM step_runs r
            USING unnest(d_unit, d_order, d_step, d_part, d_ordinal) AS d(unit, order_id, step, part, ordinal)
            WHERE r.state <> 'running' AND (good IS NULL OR d.unit = ANY (good))
              AND r.order_id = d.order_id AND r.step = d.step AND r.part = d.part AND r.ordinal = d.ordinal
            RETURNING r.order_id, r.step, r.part, r.ordinal, r.state
        )
        UPDATE dead_letters l SET state = 'obsolete'
        FROM gone g
        WHERE g.state = 'dead' AND l.kind = 'run' AND l.state = 'open'
          AND l.order_id = g.order_id AND l.step = g.step AND l.part = g.part AND l.ordinal = g.ordinal;
    END IF;

    IF cardinality(v_unit) > 0 THEN
        UPDATE step_runs r
        SET state = 'ready', attempts = 0, crashes = 0, failed_at = '{}', parked_on = NULL, due_at = t, wake_at = t
        FROM unnest(v_unit, v_order, v_step, v_part, v_ordinal) AS v(unit, order_id, step, part, ordinal)
        WHERE r.state = 'dead' AND (good IS NULL OR v.unit = ANY (good))
          AND r.order_id = v.order_id AND r.step = v.step AND r.part = v.part AND r.ordinal = v.ordinal;
    END IF;

    IF cardinality(w_unit) > 0 THEN
        INSERT INTO step_runs (order_id, step, part, ordinal, state, attempts, holder, epoch, due_at, wake_at, first_tried_at)
        SELECT w.order_id, w.step, w.part, w.ordinal,
            CASE WHEN w.carried THEN 'running' ELSE 'ready' END,
            CASE WHEN w.carried THEN 1 ELSE 0 END,
            CASE WHEN w.carried THEN by_holder END,
            CASE WHEN w.carried THEN by_epoch END,
            coalesce(w.due, t),
            coalesce(w.due, t + interval '5 s'),
            CASE WHEN w.carried THEN t END
        FROM unnest(w_unit, w_order, w_step, w_part, w_ordinal, w_due, w_carried)
            AS w(unit, order_id, step, part, ordinal, due, carried)
        WHERE good IS NULL OR w.unit = ANY (good)
        ON CONFLICT DO NOTHING;
    END IF;

    IF cardinality(n_unit) > 0 THEN
        UPDATE step_runs r SET due_at = t, wake_at = t
        FROM unnest(n_unit, n_order) AS n(unit, order_id)
        WHERE (good IS NULL OR n.unit = ANY (good))
          AND r.order_id = n.order_id AND r.step = 'allocate' AND r.state = 'ready' AND r.due_at > t;
    END IF;
END $$;
