"""The seeded bugs. The numbers are those of the list that the checker was written against."""

from tests.mutants.patch import Edit, Mutant

WORK_SQL = "infrastructure/postgres/queries/work.sql"
WORK = "infrastructure/postgres/work.py"
APPEND = "migrations/0002_append_units.sql"


def _mutant(name: str, bug: str, run: str, caught_by: str, *edits: Edit) -> Mutant:
    return Mutant(name=name, bug=bug, run=run, caught_by=frozenset(caught_by.split()), edits=edits)


MUTANTS: tuple[Mutant, ...] = (
    _mutant(
        *("M1", "frames are acknowledged before the claim", "killed_after_wake_up", "K8 K18 K34 K35"),
        Edit(
            "workers/claims.py",
            "        self._pending.append((self._tools.clock(), frame))",
            "        self._pending.append((self._tools.clock(), frame))\n        frame.settle()",
        ),
    ),
    _mutant(
        *("M2", "the idempotency key is another one at every attempt", "rough", "K10 K11"),
        Edit(
            "workers/calls.py",
            "                call.request, inquire_first=call.inquire",
            "                __import__('dataclasses').replace(call.request, key=f'{call.request.key}:{call.run.attempts}')"
            " if hasattr(call.request, 'key') else call.request, inquire_first=call.inquire",
        ),
    ),
    _mutant(
        *("M3", "no fence: the epoch is no predicate of a write", "frozen_worker", "K24"),
        Edit(APPEND, "AND r.state = 'running' AND r.epoch = s.epoch", "AND r.state = 'running'"),
    ),
    _mutant(
        *("M4", "the checkpoint moves outside the transaction of the rows", "projector_killed", "K16 K17"),
        Edit(
            "infrastructure/postgres/projections/projector.py",
            "        with transaction(connection):",
            "        if connection:",
        ),
    ),
    _mutant(
        *("M5", "ON CONFLICT DO NOTHING on append", "overtaken", "K1 K4 K7"),
        Edit(
            APPEND,
            "WHERE c.unit <> ALL (fenced) AND c.unit <> ALL (repeated) AND c.expected <> stream_version(c.stream);",
            "WHERE false;",
        ),
        Edit(APPEND, "    ORDER BY e.n;", "    ORDER BY e.n\n    ON CONFLICT DO NOTHING;"),
    ),
    _mutant(
        *("M6", "the relay marks rows as announced for good before it publishes", "relay_killed", "K18 K35"),
        Edit(WORK_SQL, "SET wake_at = clock_timestamp() + interval '10 s'", "SET wake_at = 'infinity'", times=2),
    ),
    _mutant(
        *("M7", "a time-out of the broker's confirmation counts as success", "deaf_broker", "K18 K22 K35"),
        Edit(
            "infrastructure/messaging/publisher.py",
            "            silent = isinstance(error, (Silent, TimeoutError, BlockingIOError))",
            "            silent = isinstance(error, (Silent, TimeoutError, BlockingIOError))\n            if silent:\n                return None",
        ),
    ),
    _mutant(
        *("M8", "messages are published without `mandatory`", "queue_gone", "K18 K35"),
        Edit(
            "infrastructure/messaging/wire.py",
            "routing_key=message.queue, mandatory=True)",
            "routing_key=message.queue)",
        ),
    ),
    _mutant(
        *("M9", "the projector reads up to the highest position, whoever still writes", "rough", "K5 K16 K27"),
        Edit(
            "infrastructure/postgres/projections/projector.py",
            "        return self._mark.observe(head[0], holders)",
            "        return head[0]",
        ),
    ),
    _mutant(
        *("M10", "what cannot be decoded is acknowledged and dropped", "unreadable", "K21 K22"),
        Edit(
            "infrastructure/messaging/session.py",
            "            self._handlers.on_unreadable(inbound, reason)",
            "            inbound.settle()",
        ),
    ),
    _mutant(
        *("M11", "attempts are counted in memory", "hopeless", "K21 K23"),
        Edit(WORK_SQL, "attempts = r.attempts + 1", "attempts = r.attempts", times=3),
        Edit(
            WORK,
            "return [Run(_key(row[:4]), *row[4:8]) for row in rows]",
            "return [Run(_key(row[:4]), _tried(row[:4]), *row[5:8]) for row in rows]",
        ),
        Edit(
            WORK,
            "def _key(columns",
            "_TRIED = {}\n\n\ndef _tried(run):\n    _TRIED[run] = _TRIED.get(run, 0) + 1\n    return _TRIED[run]\n\n\ndef _key(columns",
        ),
    ),
    _mutant(
        *("M12", "a cancellation does not release the goods", "cancelled", "K13 K14"),
        Edit(
            "domain/steps/ends.py",
            "            changes += on_stock(context, stream, stocks.Release(fulfillment_id=parcel.created.fulfillment_id))",
            "            pass",
        ),
    ),
    _mutant(
        *("M13", "stock is checked outside the lock", "scarce", "K13"),
        Edit(
            "workers/batch.py",
            "loaded[stream] = (stocks.fold(events, state), version + len(events))",
            "loaded[stream] = (state if stream in self.stock else stocks.fold(events, state), version + len(events))",
        ),
    ),
    _mutant(
        *("M14", "a projection counts without regard to what it counted before", "rough", "K9 K16"),
        Edit(
            "infrastructure/postgres/projections/models.py",
            "after.get(stage, 0) - before.get(stage, 0)",
            "after.get(stage, 0)",
        ),
    ),
    _mutant(
        *("M15", "timers are due by the worker's clock", "early_timer", "K26"),
        Edit(
            WORK_SQL,
            "    WHERE r.state = 'ready' AND r.wake_at <= statement_timestamp() + %(ahead)s AND r.due_at <= clock_timestamp()",
            "    WHERE r.state = 'ready' AND r.wake_at <= to_timestamp(%(now)s) + %(ahead)s"
            " AND r.due_at <= to_timestamp(%(now)s)",
        ),
        Edit(
            WORK,
            'self._claim("claim_due", wanted)',
            'self._claim("claim_due", {"now": __import__("time").time(), **wanted})',
        ),
    ),
    _mutant(
        *("M16", "every process has a breaker of its own", "outage", "K25"),
        Edit(
            "workers/breakers.py",
            "            self._look()\n",
            "            self._look() if self._time[0] == NEVER else None\n",
        ),
        Edit(
            "workers/breakers.py",
            "not self._board.change(after, changes, process=self._process):",
            "self._board.change(after, changes, process=self._process) is None:",
        ),
    ),
    _mutant(
        *("M17", "a dead letter is kept without its bytes", "unreadable", "K21"),
        Edit("workers/keeper.py", "        body=inbound.body[:BODY_LIMIT],", '        body=b"",'),
    ),
    _mutant(
        *("M18", "leases expire by the clock of whoever looks", "hasty_relay", "K24"),
        Edit(
            WORK_SQL,
            "WHERE h.expires_at <= clock_timestamp()\n   OR (h.has_beacon",
            "WHERE h.expires_at <= to_timestamp(%(now)s)\n   OR (h.has_beacon",
        ),
        Edit(WORK, "self._rows(who, {})", 'self._rows(who, {"now": __import__("time").time()})'),
    ),
    _mutant(
        *("M19", "money is stored as a float", "rough", "K6 K37"),
        Edit(
            "infrastructure/postgres/rows.py",
            "name, schema, data = codec.encode(event)",
            "name, schema, data = codec.encode(event)\n"
            "            if name == 'Captured':\n"
            "                data = __import__('re').sub(rb'\"amount\":(\\d+)', rb'\"amount\":\\1.0', data)",
        ),
    ),
    _mutant(
        *("M20", "a lock is not given back at the commit", "scarce", "K24 K33"),
        Edit(APPEND, "PERFORM pg_advisory_xact_lock(hash);", "PERFORM pg_advisory_lock(hash);"),
    ),
)
