"""The language in which dead letters are chosen."""

from datetime import UTC, datetime, timedelta

import pytest

from domain.review import LetterState, Term
from workers.review.filters import BadFilter, parse_filter

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
OPEN = Term("state", ("open",))


def terms(text: str) -> list[Term]:
    return list(parse_filter(text, now=NOW).terms)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", [OPEN]),
        ("state=any", []),
        ("state=discarded,edited", [Term("state", ("discarded", "edited"))]),
        ("step=capture,void", [Term("step", ("capture", "void")), OPEN]),
        ("step!=capture state=any", [Term("step", ("capture",), negated=True)]),
        ("id=7,8", [Term("id", (7, 8))]),
        ("reason~timeout", [Term("reason", ("timeout",), within=True), OPEN]),
        ("reason!~'not found' state=any", [Term("reason", ("not found",), negated=True, within=True)]),
        ("since=2h", [Term("since", (NOW - timedelta(hours=2),)), OPEN]),
        ("until=90s", [Term("until", (NOW - timedelta(seconds=90),)), OPEN]),
        ("since=2026-11-23T10:00+02:00", [Term("since", (datetime(2026, 11, 23, 8, tzinfo=UTC),)), OPEN]),
        ("since=2026-11-01", [Term("since", (datetime(2026, 11, 1, tzinfo=UTC),)), OPEN]),
        (
            "group=ab12cd34 order=A-1 kind=run",
            [Term("group", ("ab12cd34",)), Term("order", ("A-1",)), Term("kind", ("run",)), OPEN],
        ),
        ("reason~a=b", [Term("reason", ("a=b",), within=True), OPEN]),
    ],
)
def test_a_filter_says_what_is_wanted(text: str, found: list[Term]) -> None:
    assert terms(text) == found


def test_the_default_state_is_the_callers() -> None:
    wanted = parse_filter("step=void", now=NOW, state=LetterState.DISCARDED)
    assert wanted.terms[1:] == (Term("state", ("discarded",)),)


@pytest.mark.parametrize(
    ("text", "field", "hint"),
    [
        ("stpe=void", "stpe", "did you mean step?"),
        ("colour=red", "colour", "there are step, order"),
        ("step=captur", "step", "did you mean capture?"),
        ("state=closed", "state", "none"),
        ("step~cap", "step", "= and != only"),
        ("step=", "step", "no value"),
        ("since=soon", "since", "neither an age"),
        ("since!=2h", "since", "takes = only"),
        ("id=x", "id", "no number"),
        ("id=9999999999999999", "id", "no number"),
        ("group=zz", "group", "eight hexadecimal digits"),
        ("capture", "filter", "write field=value"),
        ("reason~'open", "filter", "quotation mark"),
        ("order=\x1b[2J", "order", "cannot be printed"),
        ("a" * 3000, "filter", "longer than"),
    ],
)
def test_what_cannot_be_understood_names_the_field(text: str, field: str, hint: str) -> None:
    with pytest.raises(BadFilter) as bad:
        parse_filter(text, now=NOW)
    assert bad.value.field == field
    assert hint in bad.value.reason
    assert "\x1b" not in str(bad.value)
