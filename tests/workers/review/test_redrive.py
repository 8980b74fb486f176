"""Bulk decisions: page by page, at a rate, until they are stopped."""

from collections.abc import Callable, Sequence

from domain.review import Filter, Letters
from tests.workers.review.conftest import ADA
from workers.review import Outcome, Redrive, Review, parse_filter


class Timer:
    """A clock that is moved by waiting."""

    def __init__(self, patience_s: float = 1e9) -> None:
        self.now = 0.0
        self.patience_s = patience_s

    def __call__(self) -> float:
        return self.now

    def wait(self, time_s: float) -> bool:
        self.now += time_s
        return self.now > self.patience_s


def test_all_that_match_are_decided_and_what_dies_meanwhile_is_left(review: Review, keep: Callable[..., int]) -> None:
    ids = [keep(b"{%d" % number) for number in range(450)]
    late: list[int] = []
    sizes: list[int] = []

    def decide(some: Sequence[int]) -> list[Outcome]:
        late.append(keep(b"{late %d" % len(late)))
        sizes.append(len(some))
        return review.discard(some, ADA)

    wanted, timer, shown = parse_filter("kind=message", now=review.store.now()), Timer(), list[tuple[int, int]]()
    drive = Redrive(
        pages=review, decide=decide, wait=timer.wait, on_progress=lambda *now: shown.append(now), clock=timer
    )
    tally = drive.run(wanted, review.store.now())
    assert (tally.total, tally.done, tally.not_done, tally.stopped) == (450, 450, 0, False)
    assert sizes == [200, 200, 50]
    assert shown == [(200, 450), (400, 450), (450, 450)]
    assert {letter.id for letter in review.page(wanted, limit=999)} == set(late)
    assert not set(ids) & set(late)


def test_a_rate_is_kept_and_a_stop_says_how_far_it_came(review: Review, keep: Callable[..., int]) -> None:
    for number in range(100):
        keep(b"{%d" % number)
    timer, decided = Timer(patience_s=1.0), list[int]()

    def decide(some: Sequence[int]) -> list[Outcome]:
        decided.extend(some)
        return review.discard(some, ADA)

    drive = Redrive(pages=review, decide=decide, wait=timer.wait, rate=40.0, clock=timer)
    tally = drive.run(Filter(), review.store.now())
    assert tally.stopped
    assert tally.done == len(decided) == 50  # ten at once, and the sixth ten would have begun after 1.25 s


def test_what_was_stopped_goes_on_with_the_same_words(
    review: Review, keep: Callable[..., int], letters: Letters
) -> None:
    for number in range(30):
        keep(b"{%d" % number)
    wanted, timer = parse_filter("", now=review.store.now()), Timer()

    def run(limit: int | None) -> int:
        drive = Redrive(
            pages=review, decide=lambda some: review.discard(some, ADA), wait=timer.wait, limit=limit, clock=timer
        )
        return drive.run(wanted, review.store.now()).done

    assert (run(10), run(None), run(None)) == (10, 20, 0)
    assert letters.count(wanted) == 0


def test_letters_that_cannot_be_done_are_counted_and_not_tried_for_ever(
    review: Review, keep: Callable[..., int]
) -> None:
    keep(origin="elsewhere")
    keep()
    timer = Timer()
    drive = Redrive(pages=review, decide=lambda some: review.retry(some, ADA), wait=timer.wait, clock=timer)
    tally = drive.run(parse_filter("", now=review.store.now()), review.store.now())
    assert (tally.total, tally.done, tally.not_done) == (2, 1, 1)
    assert "no queue of ours" in tally.refused[0].words
