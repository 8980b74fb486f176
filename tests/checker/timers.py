"""K26: a timer fires once, never before its time by the database's clock, and not much later."""

from datetime import datetime, timedelta

from tests.checker.evidence import Event, Evidence, read_moment
from tests.checker.expect import Expect
from tests.checker.verdict import Findings

SKEW = timedelta(seconds=60)


def timers_fire_once_in_time(evidence: Evidence, expect: Expect) -> Findings:
    for stream, events in evidence.streams.items():
        if stream.startswith("order-"):
            yield from ((stream.removeprefix("order-"), wrong) for wrong in _holds(events, evidence.moment, expect))
    for event in evidence.events:
        told = event.data.get("at") or event.data.get("placed_at")
        if told and abs(read_moment(told) - read_moment(event.recorded_at)) > SKEW:
            yield event.stream, f"{event.type} was recorded at {event.recorded_at}, and says that it was {told}"


def _holds(events: list[Event], now: datetime, expect: Expect) -> list[str]:
    """What is wrong with the timers of one order's holds."""
    wrong: list[str] = []
    due: dict[str, datetime] = {}
    fired = 0
    for event in events:
        at, data = read_moment(event.recorded_at), event.data
        match event.type:
            case "HoldPlaced" if data["until"]:
                due[data["reason"]] = read_moment(data["until"])
            case "HoldReleased" if data["by"] != "timer":
                due.pop(data["reason"], None)
            case "CancellationRequested" | "HoldReleased" if data["by"] == "timer":
                fired += 1
                wrong += _fired(at, min(due.values(), default=None), expect)
                due.clear()
            case "CancellationRequested" | "OrderClosed":
                due.clear()
            case _:
                pass
    late = timedelta(seconds=expect.late_s)
    return wrong + [
        f"the timer of {reason} was due at {at}, and did not fire" for reason, at in due.items() if at + late < now
    ]


def _fired(at: datetime, due: datetime | None, expect: Expect) -> list[str]:
    if due is None:
        return ["a timer fired that was not set, or had fired"]
    if at < due:
        return [f"a timer fired at {at}, {due - at} before its time"]
    late = (at - due).total_seconds()
    return [f"a timer fired {late:.0f} s late"] if late > expect.late_s else []
