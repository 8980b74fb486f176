"""All invariants, in the order they are judged: first those of the log itself, which the others rely on."""

from collections.abc import Callable

from tests.checker import endings, goods, log, money, read_models, sequence, submissions
from tests.checker.evidence import Evidence
from tests.checker.verdict import Findings, Invariant


def _both(*judges: Callable[[Evidence], Findings]) -> Callable[[Evidence], Findings]:
    return lambda evidence: (finding for one in judges for finding in one(evidence))


def invariants(*, all_closed: bool) -> list[Invariant]:
    """`all_closed`: the run's operator has decided everything, so an open order is a broken promise."""
    ends = _both(endings.every_order_ends_once, *([endings.everything_has_ended] if all_closed else []))
    sums = _both(money.sums_are_equal, money.nothing_is_held_for_the_closed)
    captures = _both(money.captures_are_exact, money.one_authorization_an_order)
    return [
        Invariant("K6", "every event has exactly the agreed fields", log.events_are_well_formed),
        Invariant("K4", "versions count from 1 without gap or double", log.versions_count_up),
        Invariant("K5", "the global order agrees with every stream's", log.positions_agree),
        Invariant("K7", "every stream is a legal word of its state machine", log.streams_are_legal),
        Invariant("K1", "what was acknowledged is stored", submissions.acknowledged_is_stored),
        Invariant("K2", "what is stored was submitted", submissions.stored_was_attempted),
        Invariant("K3", "one order a key, with the content that was sent", submissions.one_order_a_key),
        Invariant("K8", "every order ends once, or something will move it", ends),
        Invariant("K9", "the counts add up, in every sample and at the end", submissions.counts_add_up),
        Invariant("K10", "one capture a parcel that was handed over, of the right amount", captures),
        Invariant("K11", "the sums of the ledger are those of the events", sums),
        Invariant("K12", "causes come before effects", sequence.causes_come_first),
        Invariant("K13", "stock is conserved at every event", goods.stock_is_conserved),
        Invariant("K14", "nothing is set aside for nobody", goods.nothing_is_kept_for_nobody),
        Invariant("K15", "nobody gets more than was ordered", goods.nobody_gets_too_much),
        Invariant("K16", "every read model is the fold of its events", read_models.read_models_are_folds),
        Invariant("K18", "no work is left of what has ended", endings.no_work_is_left),
        Invariant("K19", "nothing moves without a cause", endings.no_zombies),
        Invariant("K20", "every effect happened once", endings.effects_happened_once),
    ]
