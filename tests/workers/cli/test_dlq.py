"""`orderwright dlq`, as an operator types it, on a real database."""

import base64
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner, Result

from domain.review import Message
from infrastructure.messaging.broker import connect
from infrastructure.messaging.settings import BrokerSettings
from infrastructure.postgres.dead_letters import PostgresDeadLetters
from infrastructure.postgres.store import PostgresStore
from tests.e2e.program import order_line
from workers.cli.commands import app
from workers.cli.dlq_bulk import per_second
from workers.cli.failures import Usage

EVIL = "\x1b[2J\x9b31m\u202eevil"


@dataclass
class Desk:
    """The command line on one database, and its letters."""

    dsn: str
    letters: PostgresDeadLetters

    def call(self, *arguments: str, stdin: bytes = b"") -> Result:
        environment = {"DATABASE_URL": self.dsn, "ORDERWRIGHT_LOG_LEVEL": "error", "COLUMNS": "300"}
        return CliRunner().invoke(app, ["dlq", *arguments], input=stdin, env=environment)

    def data(self, *arguments: str) -> Any:
        return json.loads(self.call(*arguments, "--json").stdout)

    def keep(self, body: bytes = b"{", reason: str = "body: is no JSON", **changes: Any) -> int:
        digest = hashlib.sha256(body).hexdigest()
        values = {"origin": "ow_orders", "message_id": digest[:9], "headers": {"content-type": "application/json"}}
        return self.letters.keep(
            Message(reason=reason, body=body, size=len(body), sha256=digest, **{**values, **changes})
        )


@pytest.fixture
def desk(database: str) -> Iterator[Desk]:
    store = PostgresStore(database)
    yield Desk(database, PostgresDeadLetters(store))
    store.close()


def test_lists_show_what_died_where_and_never_a_body(desk: Desk) -> None:
    desk.keep(b"secret 4111", reason=f"{EVIL} at 17")
    desk.keep(b"{other", reason="no JSON at 18", origin="ow_risk")
    shown = desk.call("list")
    assert shown.exit_code == 0
    assert "ow_orders" in shown.stdout
    assert "\\x1b[2J" in shown.stdout
    for unsafe in ("\x1b", "\x9b", "\u202e", "secret"):
        assert unsafe not in shown.stdout
    assert [one["id"] for one in desk.data("list")] == [2, 1]
    assert [one["id"] for one in desk.data("list", "queue=ow_risk", "reason~json")] == [2]
    assert "secret" not in json.dumps(desk.data("list"))


def test_long_lists_come_in_pages_and_groups_say_what_they_have_in_common(desk: Desk) -> None:
    with psycopg.connect(desk.dsn) as connection:
        connection.execute(
            "INSERT INTO dead_letters (kind, reason, origin, body_sha256)"
            " SELECT 'message', 'no JSON at ' || n + 1000, 'ow_orders', n::text FROM generate_series(1, 1200) AS n"
        )
    first = desk.call("list", "--limit", "700", "--output", "jsonl")
    ids = [json.loads(line)["id"] for line in first.stdout.splitlines()]
    assert ids == list(range(1200, 500, -1))
    assert "100 of 1200; the next page: --before 1101" in desk.call("list").stderr
    assert [one["id"] for one in desk.data("list", "--before", "3")] == [2, 1]
    [group] = desk.data("groups")
    assert (group["letters"], group["where"]) == (1200, "ow_orders")
    assert len(desk.data("list", f"group={group['group']}", "--limit", "2000")) == 1200


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["list", "stpe=void"], "stpe: there is no such field; did you mean step?"),
        (["list", "since=soon"], "since: 'soon' is neither an age"),
        (["retry", "1"], "--reason is missing"),
        (["retry", "step=void", "--reason", "x"], "add --all-matching"),
        (["retry", "--reason", "x"], "name letters by their ids"),
        (["retry", "1", "--rate", "5/s", "--reason", "x"], "belong to --all-matching"),
        (["discard", "--all-matching", "--reason", "x", "--rate", "fast"], "write it as 50/s"),
        (["discard", "--all-matching", "--reason", "x"], "say --yes"),
        (["conclude", "1", "--reason", "x"], "--happened with --reference"),
        (["edit", "1", "--reason", "x"], "use --file"),
    ],
)
def test_what_cannot_be_meant_is_told_and_nothing_is_done(desk: Desk, arguments: list[str], told: str) -> None:
    desk.keep()
    ended = desk.call(*arguments)
    assert ended.exit_code == 2, ended.stderr
    assert told in ended.stderr
    assert [one["state"] for one in desk.data("list", "state=any")] == ["open"]


def test_a_letter_is_shown_with_what_a_retry_would_do_and_what_to_do(desk: Desk) -> None:
    letter = desk.keep(b"{" + EVIL.encode())
    shown = desk.call("show", str(letter))
    for words in ("would be refused again", "orderwright dlq edit 1", "body: is no JSON"):
        assert words in shown.stdout
    assert "\x1b" not in shown.stdout
    assert desk.data("show", str(letter))["retry_would"]["would_run"] is False
    assert desk.call("show", "99").exit_code == 3


def test_a_message_is_corrected_sent_and_its_history_told(desk: Desk) -> None:
    letter = desk.keep(order_line(1)[:-1])
    refused = desk.call("edit", str(letter), "--file", "-", "--reason", "typo", stdin=b"{}")
    assert refused.exit_code == 3
    assert "are refused" in refused.stderr
    edited = desk.call("edit", str(letter), "--file", "-", "--reason", "a brace", "--retry", stdin=order_line(1))
    assert edited.exit_code == 0, edited.stderr
    assert "letter 2 is the edited copy of 1" in edited.stderr
    assert "sent to ow_orders" in edited.stderr
    with connect(BrokerSettings(url="pgmq://", dsn=desk.dsn)).publisher() as publisher:
        assert publisher.depth("ow_orders") == 1
    shown = desk.data("show", "2")
    assert (shown["state"], shown["original_of"]) == ("retried", 1)
    assert [(one["type"], one["note"]) for one in desk.data("show", "1")["history"]] == [("MessageEdited", "a brace")]


def test_bulk_decisions_concern_what_matches_and_can_be_looked_at_first(desk: Desk) -> None:
    for number in range(30):
        desk.keep(b"{%d" % number, reason="no JSON" if number % 3 else "too long")
    dry = desk.call("discard", "--all-matching", "reason~JSON", "--dry-run")
    assert "`discard` would concern 20 letters" in dry.stderr
    foreseen = desk.call("retry", "--all-matching", "reason~long", "--dry-run", "--limit", "4")
    assert "shown are 4 of 10 letters" in foreseen.stderr
    done = desk.call("discard", "--all-matching", "reason~JSON", "--reason", "a test", "--yes", "--rate", "1000/s")
    assert done.exit_code == 0, done.stderr
    assert "discard: 20 of 20 letters done, 0 not done" in done.stderr
    assert len(desk.data("list")) == 10
    back = desk.call("restore", "--all-matching", "--limit", "5", "--reason", "not these", "--yes")
    assert "restore: 5 of 5 letters done" in back.stderr
    assert len(desk.data("list", "state=discarded")) == 15


def test_what_was_done_only_in_part_has_an_exit_code_of_its_own(desk: Desk) -> None:
    desk.keep(b"{1", origin="elsewhere")
    desk.keep(b"{2")
    ended = desk.call("retry", "1", "2", "--reason", "again")
    assert ended.exit_code == 4
    assert "letter 1: it came from 'elsewhere', which is no queue of ours" in ended.stderr
    assert "letter 2: sent to ow_orders" in ended.stderr


def test_an_export_is_whole_and_says_that_it_is_personal(desk: Desk) -> None:
    desk.keep(b"\x00\xff" + EVIL.encode())
    exported = desk.call("export")
    [line] = exported.stdout.splitlines()
    found = json.loads(line)
    assert base64.b64decode(found["body_base64"]) == b"\x00\xff" + EVIL.encode()
    assert found["body_is_whole"] is True
    assert "personal data" in exported.stderr
    assert "\x1b" not in exported.stdout


@pytest.mark.parametrize(
    ("text", "rate"), [("50/s", 50.0), ("600/min", 10.0), ("3600/h", 1.0), ("7", 7.0), (None, None)]
)
def test_a_rate_is_letters_a_second(text: str | None, rate: float | None) -> None:
    assert per_second(text) == rate


@pytest.mark.parametrize("text", ["", "0", "-1/s", "nan", "inf/s", "5/fortnight", "1e9"])
def test_a_rate_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(Usage):
        per_second(text)
