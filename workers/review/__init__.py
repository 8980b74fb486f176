"""What a person does about dead letters: look, retry, edit, discard, restore, conclude. The CLI and a console use the same code.

review.py     one decision about one or many letters, in one transaction with its events
runs.py       what a decision about a run writes
messages.py   what a decision about a message writes, and what reading it again would say
foresee.py    what a retry would do, without doing it
filters.py    the language in which letters are chosen
redrive.py    the same decision for all that match, at a rate, until it is stopped
"""

from workers.review.filters import parse_filter
from workers.review.foresee import Foreseen
from workers.review.plan import Outcome
from workers.review.redrive import Redrive, Tally
from workers.review.review import Review

__all__ = ["Foreseen", "Outcome", "Redrive", "Review", "Tally", "parse_filter"]
