"""K29 is checked: histories that one register explains pass, and every kind that none explains is found."""

import random
from itertools import count, pairwise

import pytest

from tests.checker.configuration import wrongs
from tests.checker.evidence import Row
from tests.checker.registers import Call, unexplained


def read(began: float, ended: float, version: int, value: str = "", client: str = "reader") -> Call:
    return Call(client=client, kind="read", began=began, ended=ended, version=version, value=value or f"v{version}")


def change(began: float, ended: float, version: int, value: str = "") -> Call:
    kept = value or f"v{version}"
    return Call(client="w", kind="change", began=began, ended=ended, expected=version - 1, version=version, value=kept)


def refused(began: float, ended: float, expected: int, found: int | None) -> Call:
    return Call(client="w", kind="refused", began=began, ended=ended, expected=expected, version=found, value="x")


def lost(began: float, expected: int, value: str = "") -> Call:
    return Call(client="w", kind="lost", began=began, expected=expected, value=value or f"v{expected + 1}")


EMPTY = read(0, 1, 0, "{}")
EXPLAINED = {
    "nothing happened": [],
    "one after the other": [EMPTY, change(2, 3, 1), read(4, 5, 1), change(6, 7, 2), read(8, 9, 2)],
    "a read beside a change may see either": [change(0, 9, 1), read(1, 2, 1), read(3, 4, 1)],
    "a read that began before the change ended may be from before": [
        change(0, 9, 1),
        read(1, 2, 0, "{}"),
        read(3, 4, 1),
    ],
    "of two that want the same version one is refused": [change(0, 9, 1), refused(0, 9, 0, 1)],
    "who was refused is not told by whom": [change(0, 9, 1), refused(0, 9, 0, None)],
    "a lost change happened": [lost(0, 0), read(5, 6, 1)],
    "a lost change never happened": [
        lost(0, 0),
        read(5, 6, 0, "{}"),
        change(7, 8, 1, "other"),
        read(9, 10, 1, "other"),
    ],
    "a lost change happened late": [lost(0, 0), read(5, 6, 0, "{}"), read(7, 8, 1), change(9, 10, 2)],
    "of two lost changes the later one happened": [lost(0, 0, "a"), lost(1, 0, "b"), read(5, 6, 1, "b")],
}
UNEXPLAINED = {
    "a stale read": [change(0, 1, 1), read(2, 3, 0, "{}")],
    "a reader is taken back": [change(0, 9, 1), read(1, 2, 1), read(3, 4, 0, "{}")],
    "two readers disagree about the order": [
        change(0, 9, 1),
        read(1, 2, 1, client="a"),
        read(3, 4, 0, "{}", client="b"),
    ],
    "an update was lost": [change(0, 1, 1, "a"), change(2, 3, 1, "b")],
    "two changes made the same version at once": [change(0, 9, 1, "a"), change(0, 9, 1, "b")],
    "a value that nobody set": [change(0, 1, 1, "a"), read(2, 3, 1, "b")],
    "a version that nobody made": [change(0, 1, 1), read(2, 3, 2)],
    "a change was told to be done and is gone": [change(0, 1, 1), read(2, 3, 0, "{}"), change(4, 5, 1, "other")],
    "a change skipped a version": [
        Call(client="w", kind="change", began=0, ended=1, expected=0, version=2, value="v2"),
        read(2, 3, 2),
    ],
    "refused without a reason": [EMPTY, refused(2, 3, 0, 0)],
    "refused for a version that was not there yet": [change(0, 1, 1), refused(2, 3, 0, 2), change(4, 5, 2)],
    "a lost change happened before it was asked": [read(0, 1, 1), lost(5, 0)],
    "a lost change happened twice": [lost(0, 0, "a"), read(1, 2, 1, "a"), change(3, 4, 2, "b"), read(5, 6, 3, "a")],
    "a lost change that was seen is gone": [lost(0, 0, "a"), read(1, 2, 1, "a"), read(3, 4, 0, "{}")],
}


@pytest.mark.parametrize("calls", EXPLAINED.values(), ids=EXPLAINED.keys())
def test_a_history_that_one_register_explains_is_good(calls: list[Call]) -> None:
    assert unexplained(calls) == []


@pytest.mark.parametrize("calls", UNEXPLAINED.values(), ids=UNEXPLAINED.keys())
def test_a_history_that_no_register_explains_is_found(calls: list[Call]) -> None:
    assert unexplained(calls)


def test_the_finding_tells_how_far_one_gets() -> None:
    [finding] = unexplained([change(0, 1, 1), read(2, 3, 0, "{}")])
    assert finding == "at version 1 (v1) cannot come next: reader read version 0 ({}) after 2.000000 and 3.000000"


def simulated(chance: random.Random, calls: int) -> list[Call]:
    """A true register, asked by several clients at once, whose answers are sometimes lost."""
    moments, state, found = count(), (0, "{}"), list[Call]()
    for number in range(calls):
        at = float(next(moments) * 10)
        began, ended = at - chance.uniform(0, 40), at + chance.uniform(0, 40)
        expected = state[0] - chance.choice([0, 0, 0, 1])
        if chance.random() < 0.5:
            found.append(read(began, ended, *state))
        elif chance.random() < 0.2:
            value, happened = f"x{number}", chance.random() < 0.5
            found.append(lost(began, expected, value))
            state = (expected + 1, value) if happened and expected == state[0] else state
        elif expected != state[0]:
            found.append(refused(began, ended, expected, state[0]))
        else:
            state = (expected + 1, f"x{number}")
            found.append(change(began, ended, *state))
    return found


@pytest.mark.parametrize("seed", range(20))
def test_whatever_a_true_register_does_is_explained(seed: int) -> None:
    assert unexplained(simulated(random.Random(seed), 200)) == []


@pytest.mark.parametrize("seed", range(20))
def test_one_stale_read_is_found_wherever_it_stands(seed: int) -> None:
    """It tells a version that had surely been followed by another before it was asked for."""
    calls = simulated(random.Random(seed), 100)
    changes = [call for call in calls if call.kind == "change"]
    stale = [
        (place, former)
        for place, call in enumerate(calls)
        for former, later in pairwise(changes)
        if call.kind == "read" and later.ended < call.began
    ]
    place, former = random.Random(seed).choice(stale)
    calls[place] = read(calls[place].began, calls[place].ended, former.version or 0, former.value or "")
    assert unexplained(calls)


def line(call: str, client: str = "w", **told: object) -> Row:
    return {"client": client, "call": call, **told}


SET = line("change", began=1.0, ended=2.0, expected=4, values={"a": 1}, outcome="done", version=5)
BEFORE = line("start", version=4, values={})


def test_a_history_may_begin_at_any_version() -> None:
    assert wrongs([BEFORE, SET, line("read", began=3.0, ended=4.0, version=5, values={"a": 1})]) == []
    assert wrongs([SET])


def test_a_process_that_follows_from_afar_may_be_late_but_never_goes_back() -> None:
    late = line("seen", "worker", at=9.0, version=4, values={})
    there = line("seen", "worker", at=10.0, version=5, values={"a": 1})
    assert wrongs([BEFORE, SET, late, there]) == []
    assert wrongs([BEFORE, SET, there, {**late, "at": 11.0}]) == ["worker went by version 5, then by version 4"]


def test_nobody_goes_by_what_was_never_set() -> None:
    [wrong] = wrongs([BEFORE, SET, line("seen", "worker", at=9.0, version=5, values={"a": 2})])
    assert wrong == 'worker goes by version 5 ({"a":2}), which was never made'
