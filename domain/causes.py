"""What makes two dead letters cases of one cause: the class of the error and its words without what varies from case to case.

The twin of `letter_cause`, `letter_words` and `letter_group` in `migrations/0004_dead_letters.sql`; one test compares the two.
"""

import hashlib
import re

_CLASS = re.compile(r"^([A-Z][A-Za-z]+): ")
_QUOTED = re.compile(r"""'[^']*'|"[^"]*\"""")
_VARYING = re.compile(
    r"(?<![A-Za-z0-9_+/-])(?![1-5][0-9][0-9](?![A-Za-z0-9_+/-]))[A-Za-z_+/-]*[0-9][A-Za-z0-9_+/-]*(?:\.[0-9][A-Za-z0-9_+/-]*)*"
)


def cause_of(reason: str) -> str:
    """The class of the error that a reason begins with; empty if it begins with none."""
    match = _CLASS.match(reason)
    return match[1] if match else ""


def words_of(reason: str) -> str:
    """The reason without quoted texts and words with a digit; a number of three digits is a status code and stays."""
    return _VARYING.sub("#", _QUOTED.sub("*", reason[:500]))


def group_of(place: str, reason: str) -> str:
    """The name of the group: eight hexadecimal digits of a hash over the step or queue and the words."""
    text = f"{place} {words_of(reason)}".replace("\\", "/")
    return hashlib.sha256(text.encode()).hexdigest()[:8]
