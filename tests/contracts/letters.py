"""The contract of the dead letters: how a run or a message becomes one, how they are found, and how they are decided about.

An adapter's module subclasses `LettersContract` and brings the fixtures `store`, `letters` and `advance`.
"""

import hashlib
import threading
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from domain.ports import Holder
from domain.review import Decision, Filter, Letter, Letters, LetterState, Message, Note, Term
from domain.work import RunKey, Step
from tests.contracts.stores import Advance, Store, claim, meta, run_key, settle, unit, want
from tests.contracts.work_list import WorkFixtures

ALL = Filter()


def message(body: bytes = b"{", **changes: object) -> Message:
    values: dict[str, object] = {
        "reason": "no JSON",
        "origin": "ow_orders",
        "body": body,
        "size": len(body),
        "sha256": hashlib.sha256(body).hexdigest(),
        "copy_id": "c1",
        **changes,
    }
    return Message(**values)  # type: ignore[arg-type]


def where(field: str, *values: object, **how: bool) -> Filter:
    return Filter((Term(field, values, **how),))


def die(store: Store, holder: Holder, key: RunKey, reason: str) -> None:
    """Let a run be given up."""
    want(store, key)
    settle(store, claim(store, key, holder), "dead", error=reason)


def ids(found: Sequence[Letter]) -> list[int]:
    return [letter.id for letter in found]


class LettersContract(WorkFixtures):
    """What is kept, found and decided."""

    @pytest.fixture
    def three(self, store: Store, letters: Letters, holder: Holder) -> list[int]:
        die(store, holder, run_key("o1", Step.CAPTURE), "Transient: HTTP 503 for order o1 after 12.5 s")
        die(store, holder, run_key("o2", Step.CAPTURE), "Transient: HTTP 503 for order o2 after 7 s")
        letters.keep(message())
        return ids(letters.page(ALL))

    def test_a_given_up_run_is_a_letter(self, store: Store, letters: Letters, holder: Holder) -> None:
        die(store, holder, run_key("o1", Step.CAPTURE), "OutcomeUnknown: no answer in 5 s")
        [letter] = letters.page(ALL)
        assert (letter.run, letter.kind, letter.place) == (run_key("o1", Step.CAPTURE), "run", "capture")
        assert (letter.state, letter.attempts, letter.deaths) == (LetterState.OPEN, 1, 1)
        assert (letter.cause, letter.reason) == ("OutcomeUnknown", "OutcomeUnknown: no answer in 5 s")
        assert letter.first_tried_at is not None
        assert letter.first_tried_at <= letter.first_died_at <= letter.died_at

    def test_a_run_that_dies_again_is_the_same_letter_opened_again(
        self, store: Store, letters: Letters, holder: Holder
    ) -> None:
        key = run_key("o1", Step.CAPTURE)
        die(store, holder, key, "first")
        [letter] = letters.page(ALL)
        with letters.deciding() as decision:
            decision.note([Note(letter_id=letter.id, state=LetterState.RETRIED, by="ada", reason="again")])
            decision.append([unit({}, revived=[key])])
        settle(store, claim(store, key, holder), "dead", error="second")
        [again] = letters.page(ALL)
        assert (again.id, again.state, again.deaths, again.reason) == (letter.id, LetterState.OPEN, 2, "second")
        assert again.first_died_at == letter.first_died_at <= again.died_at

    def test_the_letter_of_a_dead_run_that_its_order_does_not_want_any_more_is_obsolete(
        self, store: Store, letters: Letters, holder: Holder
    ) -> None:
        for order_id in ("o1", "o2"):
            die(store, holder, run_key(order_id), "no")
        want(store, run_key("o3"))
        store.append([unit({}, dropped=[run_key("o1"), run_key("o3")])])
        assert [letter.state.value for letter in letters.page(ALL)] == ["obsolete", "open"]

    def test_a_message_is_kept_as_it_came(self, letters: Letters) -> None:
        kept = letters.keep(message(b"\x00\xff", message_id="m1", headers={"x": 1}))
        [letter] = letters.get([kept])
        assert (letter.kind, letter.run, letter.place) == ("message", None, "ow_orders")
        assert (letter.body, letter.size, letter.is_whole) == (b"\x00\xff", 2, True)
        assert (letter.message_id, dict(letter.headers), letter.reason) == ("m1", {"x": 1}, "no JSON")

    def test_a_body_is_cut_and_what_it_was_is_told(self, letters: Letters) -> None:
        long = b"x" * 100_000
        [letter] = letters.get([letters.keep(message(long))])
        assert letter.body == b"x" * 65_536
        assert (letter.size, letter.sha256, letter.is_whole) == (100_000, hashlib.sha256(long).hexdigest(), False)

    def test_a_message_brought_twice_is_one_letter_that_counts_once(self, letters: Letters) -> None:
        first = letters.keep(message(copy_id="c1"))
        assert letters.keep(message(copy_id="c1")) == first
        assert letters.keep(message(copy_id="")) == first
        assert [letter.deaths for letter in letters.page(ALL)] == [1]

    def test_a_message_that_dies_again_opens_its_letter(self, letters: Letters) -> None:
        first = letters.keep(message(copy_id="c1"))
        with letters.deciding() as decision:
            decision.note([Note(letter_id=first, state=LetterState.RETRIED, by="ada", reason="again")])
        assert letters.keep(message(copy_id="c2", reason="still no JSON")) == first
        [letter] = letters.page(ALL)
        assert (letter.state, letter.deaths, letter.reason) == (LetterState.OPEN, 2, "still no JSON")

    @pytest.mark.parametrize("other", [{"message_id": "m2"}, {"origin": "ow_label"}, {"sha256": "0" * 64}])
    def test_another_message_is_another_letter(self, letters: Letters, other: dict[str, Any]) -> None:
        letters.keep(message())
        letters.keep(message(**other))
        assert letters.count(ALL) == 2

    def test_lists_hold_no_bodies(self, letters: Letters) -> None:
        letters.keep(message(b"secret"))
        assert [letter.body for letter in letters.page(ALL)] == [None]

    @pytest.mark.parametrize(
        ("wanted", "found"),
        [
            (ALL, [0, 1, 2]),
            (where("kind", "message"), [2]),
            (where("step", "capture", "void"), [0, 1]),
            (where("step", "capture", negated=True), [2]),
            (where("order", "o2"), [1]),
            (where("reason", "HTTP 503 FOR", within=True), [0, 1]),
            (where("reason", "HTTP 503", within=True, negated=True), [2]),
            (where("reason", "%", "_", within=True), []),
            (where("cause", "Transient"), [0, 1]),
            (where("queue", "ow_orders"), [2]),
            (where("state", "open"), [0, 1, 2]),
            (where("state", "discarded"), []),
            (Filter((Term("kind", ("run",)), Term("order", ("o1", "x")))), [0]),
        ],
    )
    def test_a_filter_finds_what_it_names(
        self, letters: Letters, three: list[int], wanted: Filter, found: list[int]
    ) -> None:
        assert ids(letters.page(wanted)) == [three[place] for place in found]
        assert letters.count(wanted) == len(found)

    def test_a_filter_by_id_and_by_time(
        self, store: Store, letters: Letters, holder: Holder, three: list[int], advance: Advance
    ) -> None:
        assert ids(letters.page(where("id", three[1], 10**12))) == [three[1]]
        future = store.now() + timedelta(hours=1)
        assert letters.count(where("since", future)) == 0
        assert letters.count(where("until", future)) == 3

    def test_pages_go_on_where_the_last_one_ended(self, letters: Letters, three: list[int]) -> None:
        assert ids(letters.page(ALL, limit=2)) == three[:2]
        assert ids(letters.page(ALL, limit=2, after=three[1])) == three[2:]
        assert ids(letters.page(ALL, limit=2, newest=True)) == three[:0:-1]
        assert ids(letters.page(ALL, limit=2, newest=True, after=three[1])) == three[:1]

    def test_letters_of_one_cause_are_one_group(self, letters: Letters, three: list[int]) -> None:
        first, second = letters.groups(ALL)
        assert (first.letters, first.place, first.cause) == (2, "capture", "Transient")
        assert first.example == "Transient: HTTP 503 for order o2 after 7 s"
        assert (second.letters, second.place) == (1, "ow_orders")
        assert ids(letters.page(where("group", first.group))) == three[:2]

    def test_what_a_decision_writes_is_seen_together(self, store: Store, letters: Letters, three: list[int]) -> None:
        with letters.deciding() as decision:
            assert decision.take(three)[three[2]].state is LetterState.OPEN
            decision.append([unit({}, ("letter-9", "noted"))])
            decision.note([Note(letter_id=three[2], state=LetterState.DISCARDED, by="ada", reason="rubbish")])
        [letter] = letters.page(where("state", "discarded"))
        assert (letter.noted_by, letter.noted_reason) == ("ada", "rubbish")
        assert len(store.read({"letter-9": 0})) == 1

    def test_a_decision_that_fails_wrote_nothing(self, store: Store, letters: Letters, three: list[int]) -> None:
        with pytest.raises(RuntimeError), letters.deciding() as decision:
            _decide_and_fail(decision, three[0])
        assert letters.count(where("state", "open")) == 3
        assert list(store.read({"letter-9": 0})) == []

    def test_who_decides_later_sees_what_was_decided(self, letters: Letters, three: list[int]) -> None:
        seen: list[LetterState] = []

        def look() -> None:
            with letters.deciding() as decision:
                seen.append(decision.take(three[:1])[three[0]].state)

        with letters.deciding() as decision:
            decision.take(three[:1])
            other = threading.Thread(target=look)
            other.start()
            decision.note([Note(letter_id=three[0], state=LetterState.DISCARDED, by="ada", reason="")])
        other.join(10)
        assert seen == [LetterState.DISCARDED]

    def test_a_copy_is_a_letter_of_its_own(self, letters: Letters, three: list[int]) -> None:
        [original] = letters.get([three[2]])
        note = Note(letter_id=original.id, state=LetterState.EDITED, by="ada", reason="comma")
        digest = hashlib.sha256(b"{}").hexdigest()
        with letters.deciding() as decision:
            made = decision.copy(original, b"{}", digest, note)
        [copy] = letters.get([made])
        assert (copy.original_of, copy.body, copy.origin, copy.state) == (original.id, b"{}", "ow_orders", "open")
        assert copy.message_id not in ("", original.message_id)
        assert letters.keep(message(b"{}", message_id=copy.message_id, copy_id="c9")) == made


def _decide_and_fail(decision: Decision, letter_id: int) -> None:
    decision.append([unit({}, ("letter-9", "noted"))])
    decision.note([Note(letter_id=letter_id, state=LetterState.DISCARDED, by="ada", reason="")])
    raise RuntimeError(meta().command_id)
