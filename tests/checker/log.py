"""K4 to K7: the event log itself. Versions, positions, shapes and the grammar of every stream."""

from itertools import pairwise

from tests.checker.evidence import Evidence
from tests.checker.grammar import FIRST, misspelled
from tests.checker.shapes import META, SHAPES, misfits
from tests.checker.verdict import Findings

FREE = {"stock", "letter"}  # streams that belong to no order


def versions_count_up(evidence: Evidence) -> Findings:
    for stream, events in evidence.streams.items():
        versions = [event.version for event in events]
        if versions != [*range(1, len(versions) + 1)]:
            yield stream, f"has the versions {versions}"
        first = FIRST.get(events[0].category, events[0].type)
        if events[0].type != first:
            yield stream, f"begins with {events[0].type}, not with {first}"
        if events[0].category not in FREE and f"order-{events[0].order_id}" not in evidence.streams:
            yield stream, "belongs to an order that was never placed"


def positions_agree(evidence: Evidence) -> Findings:
    for before, after in pairwise(evidence.events):
        if before.position == after.position:
            yield str(after.position), f"is the position of {before.stream} and of {after.stream}"
    for stream, events in evidence.streams.items():
        for before, after in pairwise(events):
            if before.position > after.position:
                yield stream, f"version {after.version} stands before version {before.version} in the global order"


def events_are_well_formed(evidence: Evidence) -> Findings:
    for event in evidence.events:
        if event.type not in SHAPES or event.schema != 1:
            yield str(event.position), f"{event.type} of schema {event.schema} is unknown"
            continue
        meta = {**dict.fromkeys(META, ""), **event.meta}
        wrong = [*misfits(event.data, SHAPES[event.type]), *misfits(meta, META, "meta")]
        if wrong:
            yield f"{event.position} {event.stream}", f"{event.type}: {'; '.join(wrong)}"


def streams_are_legal(evidence: Evidence) -> Findings:
    for stream, events in evidence.streams.items():
        yield from ((stream, wrong) for wrong in misspelled(stream, events))
