"""Orders from strangers through the broker: each gets its answer or becomes a dead letter, whoever dies in between."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import amqp
import psycopg
import pytest

from tests.corpus import REFUSED
from tests.e2e.program import Program, order_line
from tests.e2e.strangers import INTAKE, Answer, Stranger, amqp_connection, amqp_stranger, sql_stranger
from tests.servers.simulator import await_that

pytestmark = pytest.mark.e2e

PATIENCE_S = 90.0
BODY_LIMIT = 262_144
KEPT = 65_536
LETTERS = "SELECT reason, origin, body, headers FROM dead_letters WHERE kind = 'message' ORDER BY id"
PLACED = "SELECT stream FROM events WHERE type = 'OrderPlaced'"
STUCK = """SELECT pid FROM pg_stat_activity
WHERE datname = current_database() AND wait_event_type = 'Lock' AND pid <> pg_backend_pid()"""
UNDO = f"SELECT pg_terminate_backend(pid) FROM ({STUCK}) stuck"


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """The program, a stranger at its door, and a look into its books."""

    program: Program
    stranger: Stranger
    dsn: str
    books: psycopg.Connection[tuple[Any, ...]]

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        return self.books.execute(query.encode()).fetchall()

    def placed(self) -> Counter[str]:
        return Counter(stream.removeprefix("order-") for (stream,) in self.ask(PLACED))

    def answers(self, count: int) -> list[Answer]:
        heard: list[Answer] = []

        def enough() -> bool:
            heard.extend(self.stranger.hear())
            return len(heard) >= count

        await_that(enough, within_s=PATIENCE_S)
        return heard

    def letters(self, count: int) -> list[tuple[Any, ...]]:
        await_that(lambda: len(self.ask(LETTERS)) >= count, within_s=PATIENCE_S)
        return self.ask(LETTERS)

    def has_queue(self) -> bool:
        """The roles declare it when they start."""
        try:
            self.stranger.waiting()
        except (psycopg.errors.UndefinedTable, amqp.NotFound):
            return False
        return True

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody can write events meanwhile."""
        with psycopg.connect(self.dsn) as connection:
            connection.execute("LOCK TABLE events IN SHARE MODE")
            yield


@pytest.fixture(params=["pgmq", "rabbitmq"])
def amqp_url(request: pytest.FixtureRequest) -> str | None:
    return request.getfixturevalue("rabbitmq") if request.param == "rabbitmq" else None


@pytest.fixture
def site(amqp_url: str | None, tmp_path: Path, database: str) -> Iterator[Site]:
    """With a keeper at work; its queues are new."""
    if amqp_url:
        with amqp_connection(amqp_url) as connection:
            for queue in (INTAKE, "ow_dead"):
                connection.channel().queue_delete(queue)
    program = Program(tmp_path, {"DATABASE_URL": database, "ORDERWRIGHT_BROKER_URL": amqp_url or "pgmq://"})
    stranger = amqp_stranger(amqp_url) if amqp_url else sql_stranger(database)
    with program.running("keeper") as keeper, stranger as known, psycopg.connect(database, autocommit=True) as books:
        site = Site(program=program, stranger=known, dsn=database, books=books)
        await_that(site.has_queue, within_s=PATIENCE_S)
        yield site
        assert keeper.end().code == 0


def statuses(answers: list[Answer]) -> dict[str, list[str]]:
    return {label: [one["status"] for one in outcomes] for label, outcomes in answers}


def test_a_stranger_hears_what_became_of_each_order(site: Site) -> None:
    with site.program.running("intake") as intake:
        site.stranger.send(order_line(1), "first")
        assert statuses(site.answers(1)) == {"first": ["accepted"]}
        site.stranger.send(order_line(1), "again")
        site.stranger.send(order_line(1, note="other"), "changed")
        site.stranger.send(b"\n".join([order_line(2), order_line(3, total=1), b"{"]), "three")
        answers = dict(site.answers(3))
        assert statuses(list(answers.items())) == {
            "again": ["already_known"],
            "changed": ["refused"],
            "three": ["accepted", "refused", "refused"],
        }
        assert answers["three"][1]["errors"][0]["field"] == "total"
        assert "other content" in answers["changed"][0]["errors"][0]["reason"]
        assert intake.end().code == 0
    assert site.placed() == {"A-1": 1, "A-2": 1}
    assert site.ask(LETTERS) == []


def test_every_hostile_order_is_answered_or_kept_and_none_is_taken(site: Site) -> None:
    unread = [case for case in REFUSED if not case.raw or len(case.raw) > BODY_LIMIT]
    with site.program.running("intake") as intake:
        for place, case in enumerate(REFUSED):
            site.stranger.send(case.raw, str(place))
        answers = statuses(site.answers(len(REFUSED) - len(unread)))
        letters = site.letters(len(unread))
        site.stranger.send(order_line(1), "good")
        assert statuses(site.answers(1)) == {"good": ["accepted"]}
        assert intake.end().code == 0
    told = {REFUSED[int(label)].id: said for label, said in answers.items()}
    assert {name: said for name, said in told.items() if set(said) != {"refused"}} == {}
    assert told.keys() == {case.id for case in REFUSED} - {case.id for case in unread}
    assert all(len(body) <= KEPT for _, _, body, _ in letters)
    assert site.placed() == {"A-1": 1}


def test_what_cannot_be_read_is_kept_with_its_reason_and_its_bytes(site: Site) -> None:
    bodies = [b"<order/>", b"\xff\0", b"[" * 200_000, order_line(1, total=1)]
    with site.program.running("intake") as intake:
        for body in bodies:
            site.stranger.send(body, content_type="text/xml" if body == bodies[0] else "application/json")
        letters = {body: (reason, origin, headers) for reason, origin, body, headers in site.letters(len(bodies))}
        assert intake.end().code == 0
    assert letters.keys() == {body[:KEPT] for body in bodies}
    assert "text/xml" in letters[bodies[0]][0]
    assert "total" in letters[bodies[3]][0]
    assert {origin for _, origin, _ in letters.values()} == {INTAKE}
    assert {headers["ow-size"] for _, _, headers in letters.values()} == {len(body) for body in bodies}
    assert site.placed() == {}
    await_that(lambda: site.stranger.waiting() == 0)


@pytest.mark.slow
def test_an_intake_that_is_killed_in_the_midst_of_orders_takes_each_of_them_once(site: Site) -> None:
    """On PGMQ, what the killed one had in hand comes again after half a minute."""
    kill_while_it_writes(site, range(500), is_undone=True)
    assert site.placed() == {}
    kill_while_it_writes(site, range(500, 1000), is_undone=False)
    with site.program.running("intake") as third:
        await_that(lambda: len(site.placed()) == 1000 and site.stranger.waiting() == 0, within_s=PATIENCE_S)
        assert third.end().code == 0
    assert set(site.placed().values()) == {1}
    heard = site.stranger.hear()
    accepted = Counter(label for label, outcomes in heard if outcomes[0]["status"] == "accepted")
    assert {outcomes[0]["status"] for _, outcomes in heard} <= {"accepted", "already_known"}
    assert set(accepted.values()) == {1}
    with site.program.running("intake") as fourth:
        send(site.stranger, range(1000))
        again = site.answers(1000)
        assert fourth.end().code == 0
    assert statuses(again) == {str(number): ["already_known"] for number in range(1000)}
    assert set(site.placed().values()) == {1}


def kill_while_it_writes(site: Site, numbers: range, *, is_undone: bool) -> None:
    """The server may finish what the dead one had asked for, without anybody to hear of it; or not."""
    with site.program.running("intake") as intake, site.locked():
        send(site.stranger, numbers)
        await_that(lambda: bool(site.ask(STUCK)), within_s=PATIENCE_S)
        intake.process.kill()
        intake.process.wait(PATIENCE_S)
        if is_undone:
            site.ask(UNDO)
            await_that(lambda: not site.ask(STUCK), within_s=PATIENCE_S)


def send(stranger: Stranger, numbers: range) -> None:
    for number in numbers:
        stranger.send(order_line(number), str(number))
