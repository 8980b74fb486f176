"""K27, K28 and K30: what readers were shown, and whether every action of a person is in the events.

A line `read` of the history is one answer of a read model: `client`, `model`, the position that was `waited` for, the `position` that
the answer was of. A line `action` is one command of a person: `action`, `order_id` (or `letter`), `by`, `outcome` done, refused or unknown.
"""

from collections import Counter

from tests.checker.evidence import Event, Evidence, Row
from tests.checker.verdict import Findings

EVENTS = {
    "cancel": ("CancellationRequested",),
    "release": ("HoldReleased",),
    "hold": ("HoldPlaced",),
    "retry": ("StepRetried", "MessageRetried"),
    "discard": ("StepDiscarded", "MessageDiscarded"),
    "restore": ("StepRestored", "MessageRestored"),
}
MACHINES = {"timer", "payment", "backorder", "risk", "carrier", "stock"}


def readers_see_what_they_wrote(evidence: Evidence) -> Findings:
    for read in evidence.told_of("read"):
        if read.get("waited") is not None and read["position"] < read["waited"]:
            yield read["client"], f"waited for {read['waited']} and was shown {read['model']} as of {read['position']}"


def readers_never_go_back(evidence: Evidence) -> Findings:
    shown: dict[tuple[str, str], int] = {}
    for read in evidence.told_of("read"):
        place = (read["client"], read["model"])
        if read["position"] < shown.get(place, 0):
            yield read["client"], f"was shown {read['model']} as of {shown[place]}, then as of {read['position']}"
        shown[place] = read["position"]


def actions_are_events(evidence: Evidence) -> Findings:
    """Each action that was done has its event; no event of a person is without an action, if actions were written down at all."""
    actions = [line for line in evidence.told_of("action") if line["action"] in EVENTS]
    done, asked = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for line in actions:
        place = (line["action"], str(line.get("order_id") or line.get("letter")))
        done[place] += line["outcome"] == "done"
        asked[place] += line["outcome"] != "refused"
    told = _told(evidence)
    for place, times in done.items():
        if times and not told[place]:
            yield place[1], f"{place[0]} was said to be done, and no event tells it"
    for place in told if actions else ():
        if not asked[place]:
            yield place[1], f"an event tells of a {place[0]} that nobody asked for"


def _told(evidence: Evidence) -> Counter[tuple[str, str]]:
    """What people did, by the events: those that name a person."""
    names = {name: action for action, events in EVENTS.items() for name in events}
    return Counter(
        (names[event.type], _about(event))
        for event in evidence.events
        if event.type in names and _is_a_persons(event.data)
    )


def _is_a_persons(data: Row) -> bool:
    return data.get("by") not in MACHINES


def _about(event: Event) -> str:
    return event.order_id or event.subject
