"""A bulk retry that somebody stops: it says how far it came and how to go on, and going on does the rest."""

import re
import shlex
import signal

import psycopg
import pytest

from tests.e2e.program import Program
from tests.servers.simulator import await_that

pytestmark = pytest.mark.e2e

FILL = """INSERT INTO dead_letters (kind, reason, origin, body, body_size, body_sha256, headers)
SELECT 'message', 'gone', 'ow_orders', convert_to(n::text, 'UTF8'), length(n::text), n::text, '{"content-type": "application/json"}'
FROM generate_series(1, 60) AS n"""
RETRIED = "SELECT count(*) FROM dead_letters WHERE state = 'retried'"
EVENTS = "SELECT count(*), count(DISTINCT stream) FROM events WHERE type = 'MessageRetried'"


def test_a_stopped_retry_says_how_many_were_done_and_the_command_that_goes_on(program: Program, database: str) -> None:
    with psycopg.connect(database, autocommit=True) as books:
        books.execute(FILL)

        def retried() -> int:
            [(count,)] = books.execute(RETRIED).fetchall()
            return int(count)

        arguments = ("dlq", "retry", "--all-matching", "reason~gone", "--reason", "it's back", "--rate", "8/s", "--yes")
        with program.running(*arguments) as running:
            await_that(lambda: retried() > 0, within_s=60)
            ended = running.end(signal.SIGINT)
        assert ended.code == 130
        told = re.search(r"retry: (\d+) of 60 letters done, 0 not done", ended.err)
        assert told is not None, ended.err
        done = retried()
        assert 0 < int(told[1]) == done < 60
        command = re.search(r"to go on: orderwright (.*)", ended.err)
        assert command is not None, ended.err
        again = program.call(*[word.replace("8/s", "1000/s") for word in shlex.split(command[1])], "--yes")
        assert f"{60 - done} of {60 - done} letters done" in again.err
        assert books.execute(EVENTS).fetchall() == [(60, 60)]
