"""What a retry would do, without doing it: deciding is pure, so it can be asked.

For a run, the order is folded as if the retry were recorded; the step's first half says what it would ask of the outside, under
which key and whether it would inquire first. For a message, it is read again as its consumer would read it.
"""

from dataclasses import dataclass, fields
from typing import Any

from domain import process as processes
from domain import steps
from domain.errors import CommandRefused, OrderwrightError
from domain.process import OrderView, StepRetried
from domain.review import Letter
from domain.steps import Context
from domain.values import Money
from domain.work import Run, RunKey
from workers.review.messages import Messages


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreseen:
    """`outlook` is one sentence; `wants` is what the process manager would have done next."""

    letter: int
    subject: str
    outlook: str
    would_run: bool
    request: str = ""
    key: str = ""
    inquires_first: bool = False
    acts: bool = True
    events: tuple[str, ...] = ()
    wants: tuple[str, ...] = ()


def foresee_message(letter: Letter, messages: Messages) -> Foreseen:
    """Read it again."""
    subject = f"{letter.origin} ({letter.size} bytes)"
    try:
        words = messages.judged(letter)
    except CommandRefused as refused:
        return Foreseen(
            letter=letter.id, subject=subject, outlook=f"would be refused again: {refused}", would_run=False
        )
    return Foreseen(letter=letter.id, subject=subject, outlook=words, would_run=True)


def foresee_run(letter: Letter, run: RunKey, view: OrderView, context: Context) -> Foreseen:
    """Fold, record the retry, begin the step."""
    if view.order.placed is None:
        outlook = "there is no such order; the letter can only be discarded"
        return Foreseen(letter=letter.id, subject=str(run), outlook=outlook, would_run=False)
    event = StepRetried(step=run.step, part=run.part, ordinal=run.ordinal, by="", note="", at=context.now)
    after = processes.extend(view, processes.process_stream(run.order_id), [event])
    wants = processes.react(after, context.policy)
    named = tuple(sorted(f"{want.key.step.value} {want.key.part}/{want.key.ordinal}" for want in wants))
    if run not in {want.key for want in wants}:
        outlook = "the order does not want this any more; a retry would only mark the letter obsolete"
        return Foreseen(letter=letter.id, subject=str(run), outlook=outlook, would_run=False, wants=named)
    return _begun(letter, run, after, context, named)


def _begun(letter: Letter, run: RunKey, view: OrderView, context: Context, wants: tuple[str, ...]) -> Foreseen:
    try:
        turn = steps.begin(view, Run(run, 1, 0), context)
    except OrderwrightError as error:
        outlook = f"would end here again at once: {error}"
        return Foreseen(letter=letter.id, subject=str(run), outlook=outlook, would_run=False, wants=wants)
    events = tuple(type(event).__name__ for _, some in turn.changes for event in some)
    return Foreseen(
        letter=letter.id,
        subject=str(run),
        outlook=_outlook(turn, events),
        would_run=True,
        request=_request(turn.request) if turn.request else "",
        key=getattr(turn.request, "key", ""),
        inquires_first=turn.inquire,
        acts=turn.act,
        events=events,
        wants=wants,
    )


def _outlook(turn: steps.Turn, events: tuple[str, ...]) -> str:
    if turn.request is None:
        return f"would be decided here, without asking anybody: {', '.join(events) or 'nothing to record yet'}"
    name = type(turn.request).__name__
    if not turn.act:
        return f"would only ask what became of {name}: the other side may have forgotten the key"
    if turn.inquire:
        return f"would first ask what became of {name}, and make the request only if the other side knows nothing of it"
    return f"would make the request {name}"


def _request(request: Any) -> str:  # noqa: ANN401 - any request
    """The request in one line, with nothing personal in it."""
    shown = {one.name: getattr(request, one.name) for one in fields(request) if one.name in _SHOWN}
    return f"{type(request).__name__}({', '.join(f'{name}={_short(value)}' for name, value in shown.items())})"


_SHOWN = frozenset(
    {
        "order_id",
        "total",
        "country",
        "amount",
        "authorization",
        "fulfillment_id",
        "warehouse",
        "units",
        "tracking",
        "template",
    }
)


def _short(value: object) -> str:
    if isinstance(value, Money):
        return f"{value.amount} {value.currency}"
    return ascii(value)[:80]
