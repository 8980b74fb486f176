"""What an HTTP answer means. The one rule: only an answer that we fully understand may count as an answer.

200, 402   well-formed JSON of the expected kind     the answer (402 carries refusals)
           anything else                             OutcomeUnknown
429                                                  RateLimited, with that pause if it names one
503        with Retry-After                          RateLimited, with that pause
401, 403, 407                                        Transient: our credentials, not this order
400, 422                                             Poison: the request itself is wrong
409                                                  Incident: the key, or what it is about, is known otherwise there
other 4xx  with a well-formed problem                Poison, without one OutcomeUnknown (some proxy spoke)
all else   5xx, redirects, what nobody expects       OutcomeUnknown
"""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import NoReturn, TypeVar

from pydantic import TypeAdapter, ValidationError

from domain.errors import Incident, OutcomeUnknown, Poison, RateLimited, Transient
from infrastructure.gateways.card_numbers import CARD_NUMBER, without_card_numbers
from infrastructure.gateways.connection import HttpAnswer
from infrastructure.gateways.wire import Problem

M = TypeVar("M")

MAX_RETRY_AFTER_S = 86_400.0


def parse(answer: HttpAnswer, expected: TypeAdapter[M]) -> M:
    """The answer of business, or one of the errors above."""
    if answer.status not in {200, 402}:
        _raise(answer)
    if not _is_json(answer):
        raise OutcomeUnknown(f"status {answer.status} with {_told(answer.headers.get('content-type'))}")
    try:
        return expected.validate_json(answer.body)
    except ValidationError as error:
        raise _nonsense(answer.status, error) from None  # its text repeats the body


def parse_inquiry(answer: HttpAnswer, expected: TypeAdapter[M]) -> M | None:
    """None only if the service itself says that it does not know the key: the 404 of some proxy must not allow a second charge."""
    if answer.status != 404:
        return parse(answer, expected)
    problem = _problem(answer)
    if problem is None or problem.error != "unknown_key":
        raise OutcomeUnknown("status 404 that does not speak of the key")
    return None


def _raise(answer: HttpAnswer) -> NoReturn:
    status, pause_s, problem = answer.status, _retry_after_s(answer), _problem(answer)
    said = f"status {status}" + (f": {problem.error}: {problem.message[:200]}" if problem else "")
    if status == 429 or (status == 503 and pause_s is not None):
        raise RateLimited(said, retry_after_s=pause_s)
    if status in {401, 403, 407}:
        raise Transient(said)
    if status == 409:
        raise Incident(said)
    if status in {400, 422} or (400 <= status < 500 and status != 408 and problem is not None):
        raise Poison(said)
    raise OutcomeUnknown(said, retry_after_s=pause_s)


def _nonsense(status: int, error: ValidationError) -> OutcomeUnknown | Incident:
    """It may have acted. A card number will not go away by asking again, and what it stands in cannot be kept."""
    problems = [each["type"] for each in error.errors(include_url=False, include_input=False)]
    if CARD_NUMBER in problems:
        return Incident(f"status {status} with a card number in the body; nothing of it was kept")
    return OutcomeUnknown(f"status {status} with a body that makes no sense: {', '.join(problems[:3])}")


def _is_json(answer: HttpAnswer) -> bool:
    """JSON in UTF-8, as it came: we asked for no compression and accept none."""
    kind, _, parameters = answer.headers.get("content-type", "").lower().partition(";")
    charset = parameters.replace(" ", "").replace('"', "")
    plain = answer.headers.get("content-encoding", "identity").lower() == "identity"
    return plain and kind.strip() == "application/json" and charset in {"", "charset=utf-8"}


def _told(kind: str | None) -> str:
    return "no content type" if kind is None else repr(without_card_numbers(kind[:100]))


def _problem(answer: HttpAnswer) -> Problem | None:
    if not _is_json(answer):
        return None
    try:
        return Problem.model_validate_json(answer.body)
    except ValidationError:
        return None


def _retry_after_s(answer: HttpAnswer) -> float | None:
    """Seconds or an HTTP date; None if absent or senseless."""
    text = answer.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit() and len(text) < 12:
        return min(float(text), MAX_RETRY_AFTER_S)
    try:
        at = parsedate_to_datetime(text)
        pause_s = (at - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(pause_s, 0.0), MAX_RETRY_AFTER_S)
