"""All invariants, in the order they are judged: first those of the log itself, which the others rely on."""

from collections.abc import Callable
from functools import partial

from tests.checker import (
    breaking,
    clients,
    configuration,
    endings,
    goods,
    integers,
    leases,
    letters,
    log,
    money,
    progress,
    read_models,
    sequence,
    submissions,
    timers,
    traces,
)
from tests.checker.evidence import Evidence
from tests.checker.expect import Expect
from tests.checker.verdict import Findings, Invariant

WATCHED = frozenset({"watched"})
CALM = frozenset({"calm"})
READS = frozenset({"reads"})
LOGS = frozenset({"logs"})
SERVER = frozenset({"server"})


def _all(*judges: Callable[[Evidence], Findings]) -> Callable[[Evidence], Findings]:
    return lambda evidence: (finding for one in judges for finding in one(evidence))


def invariants(expect: Expect) -> list[Invariant]:
    """What every run is judged by."""
    return [*_of_the_log(), *_of_orders(expect), *_of_money_and_goods(expect), *_of_the_run(expect)]


def _of_the_log() -> list[Invariant]:
    order = _all(log.positions_agree, progress.nothing_appears_behind_a_reader)
    return [
        Invariant("K6", "every event has exactly the agreed fields", log.events_are_well_formed),
        Invariant("K37", "money and goods are whole numbers, and add up", integers.money_is_whole),
        Invariant("K4", "versions count from 1 without gap or double", log.versions_count_up),
        Invariant("K5", "the global order agrees with every stream's, and nothing appears behind a reader", order),
        Invariant("K7", "every stream is a legal word of its state machine", log.streams_are_legal),
    ]


def _of_orders(expect: Expect) -> list[Invariant]:
    """`all_closed`: the run's operator has decided everything, so an open order is a broken promise."""
    ends = _all(endings.every_order_ends_once, *([endings.everything_has_ended] if expect.all_closed else []))
    return [
        Invariant("K1", "what was acknowledged is stored", submissions.acknowledged_is_stored),
        Invariant("K2", "what is stored was submitted", submissions.stored_was_attempted),
        Invariant("K3", "one order a key, with the content that was sent", submissions.one_order_a_key),
        Invariant("K8", "every order ends once, or something will move it", ends),
        Invariant("K9", "the counts add up, in every sample and at the end", submissions.counts_add_up),
    ]


def _of_money_and_goods(expect: Expect) -> list[Invariant]:
    numbers = [] if expect.doubled_numbers else [goods.numbers_are_given_once]
    sums = _all(money.sums_are_equal, money.nothing_is_held_for_the_closed)
    captures = _all(money.captures_are_exact, money.one_authorization_an_order)
    return [
        Invariant("K10", "one capture a parcel that was handed over, of the right amount", captures),
        Invariant("K11", "the sums of the ledger are those of the events", sums),
        Invariant("K12", "causes come before effects", sequence.causes_come_first),
        Invariant("K13", "stock is conserved at every event", goods.stock_is_conserved),
        Invariant("K14", "nothing is set aside for nobody", goods.nothing_is_kept_for_nobody),
        Invariant("K15", "nobody gets more than was ordered", _all(goods.nobody_gets_too_much, *numbers)),
    ]


def _of_the_run(expect: Expect) -> list[Invariant]:
    def told(judge: Callable[[Evidence, Expect], Findings]) -> Callable[[Evidence], Findings]:
        return partial(_with, judge, expect)

    return [
        Invariant("K16", "every read model is the fold of its events", read_models.read_models_are_folds),
        Invariant("K17", "checkpoints go forward, never beyond the head", progress.checkpoints_go_forward, WATCHED),
        Invariant("K18", "no work is left of what has ended", endings.no_work_is_left),
        Invariant("K19", "nothing moves without a cause", endings.no_zombies),
        Invariant("K20", "every effect happened once", endings.effects_happened_once),
        Invariant("K21", "dead letters tell all that a person needs", told(letters.letters_tell_all)),
        Invariant("K22", "no dead letters but those that had to be", told(letters.only_the_guilty_die)),
        Invariant("K23", "nothing is tried too often, or all at once", told(letters.nothing_is_tried_too_often)),
        Invariant("K24", "who writes holds what it writes under", told(leases.epochs_go_forward)),
        Invariant("K25", "who is behind an open breaker is not called", told(breaking.breakers_hold)),
        Invariant("K26", "timers fire once, in time", told(timers.timers_fire_once_in_time)),
        Invariant("K27", "readers see what they wrote", clients.readers_see_what_they_wrote),
        Invariant("K28", "readers never go back", clients.readers_never_go_back),
        Invariant("K29", "settings have one history", configuration.settings_are_one_history),
        Invariant("K30", "every action of a person is an event", clients.actions_are_events),
        Invariant("K31", "no secret is told", told(traces.no_secret_is_told), LOGS),
        Invariant("K32", "no unexpected error", told(traces.no_unexpected_error), LOGS),
        Invariant("K33", "nothing leaks", traces.nothing_leaks, SERVER),
        Invariant("K34", "no outage is longer than the limit", told(progress.outages_are_short), WATCHED),
        Invariant("K35", "all comes to rest in time", told(progress.all_comes_to_rest), CALM),
        Invariant("K36", "indexes know what the table knows", traces.indexes_know_the_table, SERVER),
    ]


def _with(judge: Callable[[Evidence, Expect], Findings], expect: Expect, evidence: Evidence) -> Findings:
    return judge(evidence, expect)
