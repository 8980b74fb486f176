"""Which words each stream may spell: the state machines of order, payment, fulfillment and process, written down as tables.

A line of a table is: state, event, state after it. What depends on more than the state (which hold, which key) is checked beside it.
"""

from collections.abc import Iterator, Sequence

from tests.checker.evidence import Event

Table = dict[tuple[str, str], str]

_ORDER = """
    new          OrderPlaced            open
    open         RiskAssessed           open
    open         HoldPlaced             open
    open         HoldReleased           open
    open         FulfillmentPlanned     planned
    open         CancellationRequested  cancelling
    open         CancellationRefused    open
    open         OrderClosed            closed
    planned      LinesCancelled         open
    cancelling   RiskAssessed           cancelling
    cancelling   LinesCancelled         open
    cancelling   CancellationRefused    open
    closed       RiskAssessed           closed
    closed       HoldReleased           closed
    closed       CancellationRefused    closed
"""
_PAYMENT = """
    new          AuthorizationStarted   authorizing
    declined     AuthorizationStarted   authorizing
    authorizing  Authorized             authorized
    authorizing  AuthorizationDeclined  declined
    authorizing  OutcomeUnknown         authorizing?
    authorizing  OperationNotDone       declined
    authorized   CaptureStarted         capturing
    capturing    Captured               authorized
    capturing    CaptureFailed          authorized
    capturing    OutcomeUnknown         capturing?
    capturing    OperationNotDone       authorized
    authorized   VoidStarted            voiding
    voiding      Voided                 voided
    voiding      VoidFailed             unvoidable
    voiding      OutcomeUnknown         voiding?
    authorized   AuthorizationExpiring  authorized
    voided       AuthorizationStarted   authorizing
    unvoidable   AuthorizationStarted   authorizing
    voiding      OperationNotDone       authorized
"""
_FULFILLMENT = """
    new          FulfillmentCreated     created
    created      LabelStarted           labelling
    labelling    LabelFailed            created
    labelling    LabelPurchased         labelled
    labelling    CallNotDone            created
    labelled     HandOverStarted        handing
    handing      HandOverRefused        labelled
    handing      HandedOver             gone
    handing      CallNotDone            labelled
    gone         Delivered              delivered
    created      StoodDown              down
    labelled     StoodDown              owed
    owed         LabelRefundStarted     refunding
    refunding    LabelRefunded          down
    refunding    LabelRefundFailed      down
    refunding    CallNotDone            owed
"""
STARTS = {
    "Authorized": "AuthorizationStarted",
    "AuthorizationDeclined": "AuthorizationStarted",
    "Captured": "CaptureStarted",
    "CaptureFailed": "CaptureStarted",
    "Voided": "VoidStarted",
    "VoidFailed": "VoidStarted",
    "LabelPurchased": "LabelStarted",
    "LabelFailed": "LabelStarted",
    "HandedOver": "HandOverStarted",
    "HandOverRefused": "HandOverStarted",
    "LabelRefunded": "LabelRefundStarted",
    "LabelRefundFailed": "LabelRefundStarted",
}


def _table(text: str) -> Table:
    rows = [line.split() for line in text.strip().splitlines()]
    return {(state, event): after for state, event, after in rows}


_TABLES = {"order": _table(_ORDER), "payment": _table(_PAYMENT), "fulfillment": _table(_FULFILLMENT)}
_SAME_AS = {"planned": "open", "authorizing?": "authorizing", "capturing?": "capturing", "voiding?": "voiding"}
_STOCK = {
    *("StockReceived", "StockAllocated", "StockBackordered", "BackorderWithdrawn", "AllocationReleased"),
    *("StockShipped", "StockAdjusted"),
}
FIRST = {"order": "OrderPlaced", "payment": "AuthorizationStarted", "fulfillment": "FulfillmentCreated"}


def misspelled(stream: str, events: Sequence[Event]) -> Iterator[str]:
    """Every place where the stream leaves its grammar."""
    category = stream.partition("-")[0]
    if category in _TABLES:
        yield from _walk(_TABLES[category], events)
        yield from _unpaired(events)
    if category == "order":
        yield from _order_rules(events)
    elif category == "payment":
        yield from _payment_rules(events)
    elif category == "process":
        yield from _process_rules(events)
    elif category == "letter":
        yield from _letter_rules(events)
    elif category == "stock":
        yield from (f"{e.type} is no event of stock" for e in events if e.type not in _STOCK)
    elif category not in _TABLES:
        yield "no such kind of stream"


def _walk(table: Table, events: Sequence[Event]) -> Iterator[str]:
    state = "new"
    for event in events:
        follows = table.get((state, event.type))
        if follows is None and not (state.endswith("?") and event.type == "OutcomeUnknown"):
            follows = table.get((_SAME_AS.get(state, state), event.type))
        if follows is None:
            yield f"{event.type} (version {event.version}) while {state}"
            return
        state = follows


def _unpaired(events: Sequence[Event]) -> Iterator[str]:
    """A result is the result of what was started last, with the same key and amount."""
    started: Event | None = None
    for event in events:
        if event.type in STARTS.values():
            started = event
        elif event.type in STARTS and started is not None:
            yield from _unequal(started, event)


def _unequal(started: Event, ended: Event) -> Iterator[str]:
    if STARTS[ended.type] != started.type:
        yield f"{ended.type} ends a {started.type}"
    for name in started.data.keys() & ended.data.keys() - {"at"}:
        if started.data[name] != ended.data[name]:
            yield f"{ended.type}: {name} is {ended.data[name]!r}, but {started.data[name]!r} was asked for"


def _order_rules(events: Sequence[Event]) -> Iterator[str]:
    if sum(event.type == "RiskAssessed" for event in events) > 1:
        yield "risk was assessed twice"
    held: set[str] = set()
    for event in events:
        reason = event.data.get("reason", "")
        if event.type == "HoldPlaced" and reason in held:
            yield f"held twice for {reason}"
        if event.type == "HoldReleased" and reason not in held:
            yield f"{reason} was released without a hold"
        if event.type == "FulfillmentPlanned" and held:
            yield f"planned while held for {', '.join(held)}"
        if event.type == "CancellationRequested":
            held.clear()
        held = held | {reason} if event.type == "HoldPlaced" else held - {reason}


def _payment_rules(events: Sequence[Event]) -> Iterator[str]:
    """Ordinals count up, keys are never used for two operations, a hard decline is the end."""
    keys = [event.data["key"] for event in events if event.type in STARTS.values()]
    yield from (f"the key {key} was used twice" for key in set(keys) if keys.count(key) > 1)
    ordinals = [event.data["ordinal"] for event in events if event.type == "AuthorizationStarted"]
    if ordinals != [*range(1, len(ordinals) + 1)]:
        yield f"authorizations are numbered {ordinals}"
    types = [event.type for event in events]
    for place, event in enumerate(events):
        if event.type == "AuthorizationDeclined" and event.data["kind"] == "hard" and types[place + 1 :]:
            yield "the payment went on after a hard decline"


def _process_rules(events: Sequence[Event]) -> Iterator[str]:
    done: set[tuple[str, int, int]] = set()
    failed: set[tuple[str, int, int]] = set()
    for event in events:
        run = (event.data["step"], event.data["part"], event.data["ordinal"])
        match event.type:
            case "StepSucceeded":
                if run in done:
                    yield f"{run} succeeded twice"
                done.add(run)
            case "StepFailed":
                failed.add(run)
            case "StepRetried" | "StepDiscarded" | "StepRestored":
                if run not in failed:
                    yield f"{run} was {event.type.removeprefix('Step').lower()} without a failure"
                failed -= {run} if event.type == "StepRetried" else set()
            case _:
                yield f"{event.type} is no event of a process"


def _letter_rules(events: Sequence[Event]) -> Iterator[str]:
    """What people decided about a message that nobody could read: discarded and restored in turns."""
    discarded = False
    for event in events:
        match event.type:
            case "MessageRestored" if not discarded:
                yield "was restored without having been discarded"
            case "MessageDiscarded" if discarded:
                yield "was discarded twice"
            case "MessageRetried" | "MessageEdited" | "MessageDiscarded" | "MessageRestored":
                discarded = event.type == "MessageDiscarded"
            case _:
                yield f"{event.type} is no event of a letter"
