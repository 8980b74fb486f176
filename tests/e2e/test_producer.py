"""A Python program that submits: through the database, through either broker, and the example that we give away."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from infrastructure.intake import Refusal
from tests.corpus import document
from tests.e2e.program import ROOT, Program
from tests.e2e.strangers import amqp_connection
from workers.doors import BrokerDoor
from workers.intake import Accepted, AlreadyKnown, Refused
from workers.producer import OrderProducer

pytestmark = pytest.mark.e2e

EXAMPLE = ROOT / "examples" / "submit_orders.py"
REPLY_QUEUES = "SELECT queue_name FROM pgmq.meta WHERE queue_name LIKE 'ow\\_reply%'"


def as_url(dsn: str, scheme: str) -> str:
    """The same database as a URL that says everything itself."""
    given = conninfo_to_dict(dsn)
    return f"{scheme}:///{given.pop('dbname')}?{urlencode({name: str(value) for name, value in given.items()})}"


def stored(dsn: str) -> list[str]:
    with psycopg.connect(dsn) as connection:
        rows = connection.execute("SELECT stream FROM events WHERE type = 'OrderPlaced' ORDER BY position").fetchall()
    return [stream.removeprefix("order-") for (stream,) in rows]


@pytest.fixture(params=["postgresql", "pgmq", "rabbitmq"])
def url(request: pytest.FixtureRequest, database: str) -> str:
    """What a program is told to connect to; all lead to the same database."""
    return request.getfixturevalue("rabbitmq") if request.param == "rabbitmq" else as_url(database, request.param)


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The program that submits runs in a folder of its own and has no settings but the URL."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def test_a_program_submits_with_a_url_and_nothing_else(
    url: str, database: str, program: Program, elsewhere: Path
) -> None:
    with intake_behind(url, program), OrderProducer.connect(url) as producer:
        assert producer.submit(document(order_id="P-1")) == "P-1"
        with pytest.raises(Refusal, match="other content"):
            producer.submit(document(order_id="P-1", note="other"))
        many = [document(order_id=f"P-{number}") for number in range(1, 151)]
        outcomes = list(producer.submit_many([*many, document(order_id="P-0", total=1)]))
        reply_to = getattr(producer._door, "_reply_to", None)
    assert [type(outcome) for outcome in outcomes] == [AlreadyKnown, *[Accepted] * 149, Refused]
    assert sorted(stored(database)) == sorted(f"P-{number}" for number in range(1, 151))
    assert isinstance(producer._door, BrokerDoor) == (reply_to is not None)
    assert not is_there(reply_to, url, database)
    assert list(elsewhere.iterdir()) == [], "no server was started for a program that needs none"


@contextmanager
def intake_behind(url: str, program: Program) -> Iterator[None]:
    """Only a broker needs somebody behind it."""
    if url.startswith("postgresql"):
        yield
        return
    with program.running("intake", ORDERWRIGHT_BROKER_URL=url) as intake:
        yield
        assert intake.end().code == 0


def is_there(queue: str | None, url: str, dsn: str) -> bool:
    """A queue for answers was left behind."""
    if url.startswith("amqp"):
        with amqp_connection(url) as connection:
            try:
                connection.channel().queue_declare(queue, passive=True)
            except connection.channel_errors:
                return False
            return True
    with psycopg.connect(dsn) as connection:
        return bool(connection.execute(REPLY_QUEUES).fetchall())


def test_the_example_submits_its_order_and_may_be_run_again(program: Program, database: str) -> None:
    for _ in range(2):
        run = subprocess.run(
            [sys.executable, EXAMPLE],
            cwd=program.folder,
            env=program.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert (run.stdout, run.stderr) == ("SHOP-2026-000123\n", "")
    assert stored(database) == ["SHOP-2026-000123"]


def test_the_example_needs_nothing_but_a_folder(alone: Program) -> None:
    run = subprocess.run(
        [sys.executable, EXAMPLE],
        cwd=alone.folder,
        env=alone.environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert run.stdout == "SHOP-2026-000123\n"
    assert alone.call("work", "list", "--json").json()[0]["order_id"] == "SHOP-2026-000123"
    assert not list(alone.folder.rglob("postmaster.pid")), "who starts the server stops it"
