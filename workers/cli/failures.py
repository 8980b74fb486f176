"""From an error to an exit code and one clear sentence. Only defects of our own keep their traceback."""

from domain.configuration import StaleVersion
from domain.errors import (
    BrokerUnavailable,
    CommandRefused,
    Misconfigured,
    OrderwrightError,
    StoreUnavailable,
    Unavailable,
)

OK, FAILED, USAGE, REFUSED, PARTIAL, UNREACHABLE, INTERRUPTED = 0, 1, 2, 3, 4, 5, 130


class Usage(OrderwrightError):
    """An argument that cannot be used; the message says which and why."""


def exit_code(error: OrderwrightError) -> int:
    """The documented code of an error."""
    match error:
        case StoreUnavailable() | BrokerUnavailable() | Unavailable():
            return UNREACHABLE
        case Misconfigured() | CommandRefused() | StaleVersion():
            return REFUSED
        case Usage():
            return USAGE
        case _:
            return FAILED


def sentence(error: BaseException) -> str:
    """What is told to a person."""
    if isinstance(error, StoreUnavailable):
        return f"{error.reason}; see `orderwright doctor`"
    if isinstance(error, OSError):
        place = f"{error.filename}: " if error.filename else ""
        return f"{place}{error.strerror or error}"
    return str(error)
