"""The language in which dead letters are chosen, the same for lists, single decisions and bulk ones.

    step=capture,void reason~timeout since=2h order=A-1 state=open group=1f2e3d4c

Terms are separated by spaces and all must hold; a comma gives alternatives; `=` and `!=` compare, `~` and `!~` look inside (upper and
lower case are alike). `since` and `until` take an age (`90s`, `30m`, `2h`, `7d`) or a time (`2026-11-23T12:00`, UTC unless it says so).
A value with spaces is quoted: reason~"not found". `state=any` asks for every state; without a state, the caller's default holds.
"""

import re
import shlex
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches

from domain.errors import CommandRefused
from domain.review import Filter, LetterState, Term
from domain.work import Step

ANY = "any"
_TERM = re.compile(r"([a-z_]+)(!=|!~|=|~)(.*)", re.DOTALL)
_AGE = re.compile(r"(\d{1,6})(s|m|min|h|d)")
_UNITS = {"s": "seconds", "m": "minutes", "min": "minutes", "h": "hours", "d": "days"}
_TIMES = ("since", "until")
_INSIDE = ("reason", "order", "queue", "cause")
LONGEST = 2_000


class BadFilter(CommandRefused):
    """A term that cannot be understood; `field` names it."""


def parse_filter(text: str, *, now: datetime, state: LetterState | None = LetterState.OPEN) -> Filter:
    """The filter; `state` is what letters must be unless the text says something about it. Raises `BadFilter`."""
    terms = [_term(word, now) for word in _words(text)]
    stated = any(term.field == "state" for term in terms)
    terms = [term for term in terms if not (term.field == "state" and ANY in term.values)]
    if not stated and state is not None and not any(term.field == "id" for term in terms):
        terms.append(Term("state", (state.value,)))
    return Filter(tuple(terms))


def _words(text: str) -> list[str]:
    if len(text) > LONGEST:
        raise BadFilter(f"is longer than {LONGEST} characters", field="filter")
    try:
        return shlex.split(text)
    except ValueError:
        raise BadFilter("a quotation mark is not closed", field="filter") from None


def _term(word: str, now: datetime) -> Term:
    match = _TERM.fullmatch(word)
    if match is None:
        raise BadFilter(f"{word[:40]!a} is no term; write field=value, as in step=capture", field="filter")
    name, operator, text = match.groups()
    read = _READ.get(name)
    if read is None:
        near = get_close_matches(name, _READ, n=1)
        hint = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(_READ)}"
        raise BadFilter(f"there is no such field{hint}", field=name[:40])
    if not text:
        raise BadFilter("has no value", field=name)
    if name in _TIMES:
        if operator != "=":
            raise BadFilter("takes = only", field=name)
        return Term(name, (_time(name, text, now),))
    within = operator.endswith("~")
    if within and name not in _INSIDE:
        raise BadFilter(f"takes = and != only; one can look inside {', '.join(_INSIDE)}", field=name)
    values = tuple(part if within else read(name, part) for part in text.split(",") if part)
    return Term(name, values or (text,), negated=operator.startswith("!"), within=within)


def _time(name: str, text: str, now: datetime) -> datetime:
    if age := _AGE.fullmatch(text):
        return now - timedelta(**{_UNITS[age[2]]: int(age[1])})
    try:
        at = datetime.fromisoformat(text)
        return at if at.tzinfo else at.replace(tzinfo=UTC)
    except ValueError:
        raise BadFilter(
            f"{text[:40]!a} is neither an age (30m, 2h, 7d) nor a time (2026-11-23T12:00)", field=name
        ) from None


def _one_of(*known: str) -> Callable[[str, str], str]:
    def read(name: str, text: str) -> str:
        if text not in known:
            near = get_close_matches(text, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else f"; use {', '.join(known)}"
            raise BadFilter(f"{text[:40]!a} is none{hint}", field=name)
        return text

    return read


def _number(name: str, text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,15}", text):
        raise BadFilter(f"{text[:40]!a} is no number", field=name)
    return int(text)


def _group(name: str, text: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{8}", text):
        raise BadFilter(f"{text[:40]!a} is no group: eight hexadecimal digits, as `dlq groups` shows them", field=name)
    return text


def _text(name: str, text: str) -> str:
    if not text.isprintable():
        raise BadFilter("has characters that cannot be printed", field=name)
    return text


_READ: Mapping[str, Callable[[str, str], object]] = {
    "step": _one_of(*(step.value for step in Step)),
    "order": _text,
    "state": _one_of(*(state.value for state in LetterState), ANY),
    "group": _group,
    "reason": _text,
    "cause": _text,
    "kind": _one_of("run", "message"),
    "queue": _text,
    "id": _number,
    "since": _text,
    "until": _text,
}
