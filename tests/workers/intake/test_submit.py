"""Submitting files: what is refused holds up nobody, what is cut off can be run again, and memory stays flat."""

import io
import json
import threading
import tracemalloc
from collections.abc import Iterator, Sequence

import pytest

from domain.errors import StoreUnavailable
from infrastructure.intake import OrderSubmission
from tests.corpus import CASES, document, encoded
from tests.workers.intake.world import FaultyStore, new_intake, once, order
from workers.intake import Accepted, Outcome
from workers.lines import open_source
from workers.submit import SubmitSettings, submit_lines
from workers.submit_report import KEPT_REFUSALS, SubmitReport, exit_code


def line(order_id: str, **changes: object) -> bytes:
    return encoded(document(order_id=order_id, **changes))


class Counting:
    """Accepts everything and remembers how it came; `on_batch` may do mischief."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def accept(self, batch: Sequence[OrderSubmission]) -> list[Outcome]:
        self.batches.append(len(batch))
        return [Accepted(order_id=one.order_id) for one in batch]


def test_good_lines_are_accepted_and_the_others_reported_with_line_field_and_reason() -> None:
    store, rejects = FaultyStore(), io.BytesIO()
    source = io.BytesIO(b"\n".join([line("A"), b"", line("B", total=1), b"{", b"  \r", line("C")]))
    report = submit_lines(source, new_intake(store), rejects=rejects)
    assert (report.read, report.accepted, report.refused) == (4, 2, 2)
    assert store.orders() == ["A", "C"]
    first, second = (json.loads(row) for row in rejects.getvalue().splitlines())
    assert first == {
        "line": 3,
        "order_id": "B",
        "errors": [{"field": "total", "reason": "must be the sum of the amounts of all lines and the shipping"}],
    }
    assert (second["line"], "order_id" in second, second["errors"][0]["field"]) == (4, False, "order")
    assert [refused.line for refused in report.first_refused] == [3, 4]
    assert exit_code(report) == 4


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("last", [b"", b"\n"])
def test_line_ends_do_not_matter(end: bytes, last: bytes) -> None:
    report = submit_lines(io.BytesIO(end.join([line("A"), line("B")]) + last), new_intake())
    assert (report.read, report.accepted, exit_code(report)) == (2, 2, 0)


def test_the_whole_corpus_goes_through_a_file() -> None:
    """Cases with a line end inside are no single line. Most cases share a key, so the good ones may be known or in conflict."""
    cases = [case for case in CASES if b"\n" not in case.raw and case.raw.strip()]
    rejects = io.BytesIO()
    report = submit_lines(io.BytesIO(b"\n".join(case.raw for case in cases)), new_intake(), rejects=rejects)
    refused = {row["line"]: row["errors"] for row in map(json.loads, rejects.getvalue().splitlines())}
    assert report.read == len(cases) > 500
    assert report.refused == len(refused)
    for number, case in enumerate(cases, start=1):
        errors = refused.get(number, [])
        if case.field is None:
            assert all("other content" in error["reason"] for error in errors), case.id
        else:
            assert case.field in {error["field"] for error in errors}, case.id


def test_running_a_file_again_changes_nothing() -> None:
    store = FaultyStore()
    data = b"\n".join(line(f"A{number}") for number in range(20))
    first = submit_lines(io.BytesIO(data), new_intake(store))
    again = submit_lines(io.BytesIO(data), new_intake(store))
    assert (first.accepted, again.accepted, again.already_known) == (20, 0, 20)
    assert exit_code(again) == 0


def test_another_order_under_a_known_key_is_a_refused_line() -> None:
    report = submit_lines([line("A"), line("A", note="other")], new_intake())
    assert (report.accepted, report.refused, report.first_refused[0].line) == (1, 1, 2)


def test_a_database_that_comes_back_is_waited_for() -> None:
    store = FaultyStore()
    store.before = once(StoreUnavailable("restarting"))
    report = submit_lines([line("A")], new_intake(store))
    assert (report.accepted, report.unknown, exit_code(report)) == (1, 0, 0)


def test_a_database_that_stays_away_ends_the_run_with_what_is_unknown() -> None:
    store = FaultyStore()

    def away(_: object) -> None:
        raise StoreUnavailable("no answer")

    store.before = away
    report = submit_lines([line("A"), line("B")], new_intake(store), SubmitSettings(batch=1, patience_s=0.0))
    assert (report.accepted, report.unknown, report.stopped, exit_code(report)) == (0, 1, "no answer", 5)


def test_ctrl_c_ends_the_run_with_a_report() -> None:
    class Interrupted(Counting):
        def accept(self, batch: Sequence[OrderSubmission]) -> list[Outcome]:
            if self.batches:
                raise KeyboardInterrupt
            return super().accept(batch)

    report = submit_lines((line(f"A{n}") for n in range(30)), Interrupted(), SubmitSettings(batch=10))
    assert (report.accepted, report.unknown, report.interrupted, exit_code(report)) == (10, 10, True, 130)


def test_a_stop_is_heard_between_batches_and_nothing_is_unknown() -> None:
    stop = threading.Event()
    report = submit_lines(
        (line(f"A{n}") for n in range(1_000)),
        Counting(),
        SubmitSettings(batch=10),
        on_progress=lambda so_far: stop.set() if so_far.accepted >= 20 else None,
        stop=stop,
    )
    assert (report.accepted, report.unknown, exit_code(report)) == (20, 0, 130)


def test_a_stop_is_heard_while_the_source_is_silent() -> None:
    stop, silent = threading.Event(), threading.Event()

    def slow() -> Iterator[bytes]:
        yield line("A")
        stop.set()
        silent.wait(30)

    report = submit_lines(slow(), Counting(), SubmitSettings(batch=1), stop=stop)
    silent.set()
    assert report.interrupted


def test_a_line_that_is_too_long_is_refused_and_the_rest_goes_on() -> None:
    report = submit_lines(io.BytesIO(line("A") + b"\n" + b"x" * 1_000_000 + b"\n" + line("B")), new_intake())
    assert (report.accepted, report.refused, report.first_refused[0].line) == (2, 1, 2)


def test_a_source_that_never_ends_is_given_up_with_a_sentence() -> None:
    with open_source("/dev/zero") as zeros:
        report = submit_lines(zeros, new_intake())
    assert report.stopped is not None
    assert "does not end" in report.stopped
    assert exit_code(report) == 1


def test_a_failing_source_is_not_taken_for_the_end() -> None:
    def broken() -> Iterator[bytes]:
        yield line("A")
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        submit_lines(broken(), new_intake())


class Long:
    """Six megabytes of refusals, made while they are read."""

    def __init__(self) -> None:
        self._left = 6_000_000
        self._piece = (b'{"order_id":"A","' + b"x" * 980 + b'":1}\n') * 8

    def read(self, _size: int) -> bytes:
        self._left -= len(self._piece)
        return self._piece if self._left > 0 else b""


def test_memory_does_not_grow_with_the_file_nor_with_its_refusals() -> None:
    """What is held at any time is a few pieces. A peak holds what other threads of this process allocate, so it is taken up to three times."""

    def peak() -> int:
        tracemalloc.start()
        report = submit_lines(Long(), Counting(), SubmitSettings(batch=100))
        highest = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert report.refused == report.read > 5_000
        assert len(report.first_refused) == KEPT_REFUSALS
        return highest

    assert any(peak() < 1_500_000 for _ in range(3))


def test_the_rate_bounds_the_batches() -> None:
    intake = Counting()
    submit_lines((line(f"A{n}") for n in range(30)), intake, SubmitSettings(batch=500, rate=1_000_000))
    assert intake.batches == [30]
    intake = Counting()
    submit_lines((line(f"A{n}") for n in range(4)), intake, SubmitSettings(batch=500, rate=2.5))
    assert intake.batches == [2, 2]


def test_nothing_accepted_is_a_failure_and_an_empty_file_is_not() -> None:
    assert exit_code(submit_lines([b"{"], new_intake())) == 1
    assert exit_code(submit_lines([], new_intake())) == 0


def test_progress_counts_lines_and_bytes() -> None:
    seen: list[SubmitReport] = []
    data = b"\n".join(line(f"A{n}") for n in range(30)) + b"\n"
    submit_lines(io.BytesIO(data), Counting(), SubmitSettings(batch=10), on_progress=seen.append)
    assert [report.read for report in seen] == [10, 20, 30]
    assert seen[-1].bytes_read == len(data)


def test_orders_keep_their_content_through_a_file() -> None:
    store = FaultyStore()
    submit_lines([line("A")], new_intake(store))
    (recorded,) = store.read_all(after=0)
    assert recorded.event.content_hash
    assert new_intake(store).accept([order("A")])[0].order_id == "A"
