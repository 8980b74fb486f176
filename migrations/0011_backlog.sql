-- How much work there is, for whoever decides how many workers there should be (KEDA's postgresql scaler, an alarm, a person).
--
-- These two are a contract with the world outside: name, argument and meaning stay. They are executed with the rights of their owner,
-- so such a role needs EXECUTE on them and nothing else; PUBLIC does not have it.
--
--   orderwright_backlog(step)  runs that are due and that nobody has. Zero in a fleet that keeps up, however busy it is.
--   orderwright_load(step)     the same and the runs in the hands of workers. Follows the rate of orders, so it is what to scale by:
--                              a backlog that is worked off would let a fleet shrink that is just large enough.
--
-- Without a step: of all steps. What waits for its time or for a person is not counted. What waits for a breaker is: it is due, and
-- whoever scales by it sets an upper bound anyway. Neither counts beyond 100,000, so that a question cannot slow down what it is about.
-- Announcements lie ahead by at most ten seconds of what is due, so their index serves to find it.

CREATE FUNCTION orderwright_backlog(of_step text DEFAULT NULL) RETURNS bigint LANGUAGE sql STABLE SECURITY DEFINER AS $$
    SELECT count(*)
    FROM (
        SELECT
        FROM step_runs r
        WHERE r.state = 'ready' AND r.wake_at <= statement_timestamp() + interval '10 s' AND r.due_at <= statement_timestamp()
          AND (of_step IS NULL OR r.step = of_step)
        LIMIT 100000
    ) AS due
$$;

CREATE FUNCTION orderwright_load(of_step text DEFAULT NULL) RETURNS bigint LANGUAGE sql STABLE SECURITY DEFINER AS $$
    SELECT least(100000, orderwright_backlog(of_step) + (
        SELECT count(*)
        FROM (
            SELECT
            FROM step_runs r
            WHERE r.state = 'running' AND (of_step IS NULL OR r.step = of_step)
            LIMIT 100000
        ) AS carried
    ))
$$;

COMMENT ON FUNCTION orderwright_backlog(text) IS 'runs of a step (or of all) that are due and that nobody has';
COMMENT ON FUNCTION orderwright_load(text) IS 'runs of a step (or of all) that are due or in the hands of a worker';

REVOKE EXECUTE ON FUNCTION orderwright_backlog(text), orderwright_load(text) FROM PUBLIC;

-- Who may make temporary tables must not be able to put one in place of ours.
DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION orderwright_backlog(text) SET search_path = %I, pg_temp', current_schema());
    EXECUTE format('ALTER FUNCTION orderwright_load(text) SET search_path = %I, pg_temp', current_schema());
END $$;
