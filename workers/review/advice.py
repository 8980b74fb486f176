"""What a person is told about a letter besides its columns: what was decided before, and what can be done now, in plain words."""

from domain import process as processes
from domain import steps
from domain.order_view import OrderView
from domain.ports import Reader, RecordedEvent
from domain.process import StepDiscarded, StepRestored, StepRetried
from domain.review import Letter, ReviewEvent, letter_stream
from domain.work import RunKey
from workers.review.plan import Sight


def history_of(store: Reader, letter: Letter) -> list[RecordedEvent]:
    """Decisions about a letter: on its own stream, and of its run on the process stream."""
    found = list(store.read({letter_stream(letter.id): 0}))
    run = letter.run
    if run is not None:
        found += [
            recorded
            for recorded in store.read({processes.process_stream(run.order_id): 0})
            if isinstance(recorded.event, (StepRetried, StepDiscarded, StepRestored))
            and (recorded.event.step, recorded.event.part, recorded.event.ordinal) == run[1:]
        ]
    return [recorded for recorded in found if isinstance(recorded.event, (*_DECISIONS,))]


_DECISIONS = (StepRetried, StepDiscarded, StepRestored, *ReviewEvent.__args__)


def advice(letter: Letter, sight: Sight) -> str:
    """Both possibilities of an unknown outcome, and what to do; or the ways that are open."""
    if letter.run is None:
        return _MESSAGE.format(id=letter.id)
    view = sight.orders[letter.run.order_id].view
    if view.order.placed is None:
        return _NO_ORDER.format(id=letter.id)
    if steps.can_conclude(view, letter.run):
        return _unknown(letter, letter.run, view)
    return _RUN.format(id=letter.id, order=letter.run.order_id)


def _unknown(letter: Letter, run: RunKey, view: OrderView) -> str:
    asked = view.payment.open
    about = f" of {asked.amount.amount} minor units {asked.amount.currency}" if asked and asked.amount else ""
    key = f" It was asked under the key {asked.key}." if asked else ""
    words = _EFFECTS.get(run.step.value, ("it was done", "nothing happened there"))
    return _UNKNOWN.format(
        id=letter.id, order=run.order_id, step=run.step.value, about=about, key=key, did=words[0], did_not=words[1]
    )


_EFFECTS = {
    "authorize": ("the customer's money is reserved", "no money is reserved"),
    "capture": ("the customer was charged", "the customer was not charged"),
    "void": ("the reserved money was given back", "the money is still reserved"),
    "label": ("the carrier sold a label and will bill it", "there is no label"),
    "hand_over": ("the carrier has the parcel", "the parcel is still in the warehouse"),
    "refund_label": ("the label was refunded", "the label is still to be paid"),
    "deliver": ("the parcel arrived", "it is still under way"),
}
_UNKNOWN = """Nobody knows whether the {step}{about} of order {order} happened: it was asked for, and no answer came.{key}
- If it did happen, {did}. Look it up at the other side, and record it:
    orderwright dlq conclude {id} --happened --reference <what the other side calls it> --reason <how you know>
- If it did not, {did_not}. Record that; it may then begin again, under a new key:
    orderwright dlq conclude {id} --did-not-happen --reason <how you know>
- If you cannot tell, a retry asks the other side by the key first, and acts only if it knows nothing of it:
    orderwright dlq retry {id} --reason <why now>
Nothing new of this order begins until then; other orders go on."""
_RUN = """Mend the cause, then: orderwright dlq retry {id} --reason <what changed>
If it can never work: orderwright dlq discard {id} --reason <why>, and cancel the order: orderwright orders cancel {order}"""
_NO_ORDER = "There is no such order, so nothing can be retried: orderwright dlq discard {id} --reason <why>"
_MESSAGE = """As it is: orderwright dlq retry {id} --reason <what changed>
With another body: orderwright dlq edit {id} --reason <what is corrected>
Not at all: orderwright dlq discard {id} --reason <why>"""
