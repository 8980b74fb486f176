"""Hostile and odd submissions with their verdicts, to be put to every door. Grouped like section 4 of the list of hostile input."""

from tests.corpus.business import BUSINESS
from tests.corpus.case import GOOD, Case, document, encoded, place
from tests.corpus.keys import KEYS
from tests.corpus.numbers import NUMBERS
from tests.corpus.structure import STRUCTURE
from tests.corpus.texts import TEXTS

CASES: list[Case] = [*STRUCTURE, *NUMBERS, *TEXTS, *KEYS, *BUSINESS]
ACCEPTED = [case for case in CASES if case.field is None]
REFUSED = [case for case in CASES if case.field is not None]

__all__ = ["ACCEPTED", "CASES", "GOOD", "REFUSED", "Case", "document", "encoded", "place"]
