"""Decisions about dead letters. Each is written in one transaction: the letter, its event, the run that is due again.

Read first, then decide, then write under the locks of the orders and the rows of the letters; whoever was faster is seen there, and the
other one is told. A message is sent inside the transaction, after everything that could refuse it and before the commit: a crash in
between leaves the letter open, and sending twice is harmless, since messages are wake-ups and orders have ids.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from domain import process as processes
from domain import steps
from domain import stock as stocks
from domain.errors import CommandRefused, Poison
from domain.messaging import Outbound, Publisher
from domain.ports import RecordedEvent
from domain.process import Policy
from domain.review import Decision, Filter, Group, Letter, Letters, LetterState, Note, letter_stream
from domain.routing import Warehouse
from domain.steps import Context, StockBook
from domain.work import RunKey
from workers.announce import Announce
from workers.batch import Store
from workers.rebuild import read_views
from workers.review import messages, runs
from workers.review.advice import advice, history_of
from workers.review.foresee import Foreseen, foresee_message, foresee_run
from workers.review.messages import Messages
from workers.review.plan import Outcome, Person, Plan, Sight
from workers.turns import Known

TRIES = 10
LONGEST_REASON = 500

Planner = Callable[[Letter, Sight], Plan]


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """One person's work on dead letters. Errors: `CommandRefused`, `StoreUnavailable`, `BrokerUnavailable`."""

    store: Store
    letters: Letters
    publisher: Publisher
    announce: Announce
    policy: Policy
    warehouses: tuple[Warehouse, ...]
    messages: Messages

    # --- to look ---

    def page(self, wanted: Filter, *, after: int = 0, limit: int = 100, newest: bool = False) -> Sequence[Letter]:
        """Letters without bodies."""
        return self.letters.page(wanted, after=after, limit=limit, newest=newest)

    def count(self, wanted: Filter) -> int:
        """How many match."""
        return self.letters.count(wanted)

    def groups(self, wanted: Filter, *, limit: int = 100) -> Sequence[Group]:
        """Letters by cause, the largest group first."""
        return self.letters.groups(wanted, limit=limit)

    def letter(self, letter_id: int) -> Letter:
        """One letter with its body. Raises `CommandRefused` if there is none."""
        found = self.letters.get([letter_id])
        if not found:
            raise CommandRefused(f"there is no dead letter {letter_id}")
        return found[0]

    def history(self, letter: Letter) -> list[RecordedEvent]:
        """The decisions about a letter, oldest first."""
        return history_of(self.store, letter)

    def advice(self, letter: Letter) -> str:
        """What to do about it, in plain words; empty if a retry is all there is to say."""
        sight = self._look([letter])
        return sight.refusal(letter) or advice(letter, sight)

    def foresee(self, ids: Sequence[int]) -> list[Foreseen]:
        """What a retry of these would do."""
        found = self.letters.get(ids)
        sight = self._look(found)
        return [self._foreseen(letter, sight) for letter in found]

    # --- to decide ---

    def retry(self, ids: Sequence[int], person: Person) -> list[Outcome]:
        """Give runs back to their orders, and messages to their queues."""

        def plan(letter: Letter, sight: Sight) -> Plan:
            if letter.state is not LetterState.OPEN:
                return Plan(refused=_not_open(letter))
            if letter.run is None:
                return self.messages.retried(letter, sight, person)
            return runs.retried(letter, letter.run, sight, self.policy, person)

        return self._decide(ids, plan, person)

    def discard(self, ids: Sequence[int], person: Person) -> list[Outcome]:
        """Say that nothing will be done about these."""

        def plan(letter: Letter, sight: Sight) -> Plan:
            if letter.state is not LetterState.OPEN:
                return Plan(refused=_not_open(letter))
            if letter.run is None or not runs.exists(letter, sight):
                return messages.discarded(letter, sight, person)
            return runs.discarded(letter, letter.run, sight, self.policy, person)

        return self._decide(ids, plan, person)

    def restore(self, ids: Sequence[int], person: Person) -> list[Outcome]:
        """Take a discard back."""

        def plan(letter: Letter, sight: Sight) -> Plan:
            if letter.state is not LetterState.DISCARDED:
                return Plan(refused=f"it is {letter.state.value}, not discarded")
            if letter.run is None or not runs.exists(letter, sight):
                return messages.restored(letter, sight, person)
            return runs.restored(letter, letter.run, sight, self.policy, person)

        return self._decide(ids, plan, person)

    def conclude(self, letter_id: int, happened: bool, reference: str, person: Person) -> Outcome:  # noqa: FBT001 - the one question
        """Record what a person found out about an operation whose outcome nobody knew."""

        def plan(letter: Letter, sight: Sight) -> Plan:
            if letter.run is None:
                return Plan(refused="a message has no outcome to conclude")
            if letter.state not in (LetterState.OPEN, LetterState.DISCARDED):
                return Plan(refused=_not_open(letter))
            view = sight.orders[letter.run.order_id].view
            book = self._stock(steps.stock_to_conclude(view, letter.run))
            context = Context(now=sight.now, policy=self.policy, warehouses=self.warehouses, stock=book)
            versions = {stream: version for stream, (_, version) in book.entries().items()}
            try:
                turn = steps.by_hand(view, letter.run, happened, reference, context)
            except CommandRefused as refused:
                return Plan(refused=str(refused))
            changes = [(stream, event) for stream, events in turn.changes for event in events]
            done = runs.concluded(letter, letter.run, sight, self.policy, person, changes)
            assert done.unit is not None  # noqa: S101 - a conclusion always writes
            return replace(done, unit=replace(done.unit, expected={**done.unit.expected, **versions}))

        return self._decide([letter_id], plan, person)[0]

    def edit(self, letter_id: int, body: bytes, person: Person) -> int:
        """Make a copy of a message with another body, if its consumer would take it; returns the copy's id."""
        _check(person)
        letter = self.letter(letter_id)
        if letter.run is not None:
            raise CommandRefused("a run has no message to edit; correct the order, then retry the letter")
        if letter.state is not LetterState.OPEN:
            raise CommandRefused(_not_open(letter))
        self.messages.judged(replace(letter, body=body, size=len(body), original_of=letter.id))
        note = Note(letter_id=letter.id, state=LetterState.EDITED, by=person.by, reason=person.reason)
        with self.letters.deciding() as decision:
            current = decision.take([letter.id])[letter.id]
            if current.state is not LetterState.OPEN:
                raise CommandRefused(_not_open(current))
            copy = decision.copy(letter, body, hashlib.sha256(body).hexdigest(), note)
            unit = messages.edited(letter, copy, self._look([letter]), person)
            verdict = decision.append([unit])[0]
            if verdict.outcome != "appended":
                raise CommandRefused("somebody else decided about it just now; look again")
            decision.note([note])
        return copy

    # --- the one way in which anything is written ---

    def _decide(self, ids: Sequence[int], plan: Planner, person: Person) -> list[Outcome]:
        _check(person)
        wanted = list(dict.fromkeys(ids))
        outcomes: dict[int, Outcome] = {}
        pending = wanted
        for _ in range(TRIES + len(wanted)):
            if not pending:
                break
            found = self.letters.get(pending)
            sight = self._look(found)
            plans = {letter.id: (letter, _refused(letter, sight) or plan(letter, sight)) for letter in found}
            pending = self._write(plans, person, outcomes)
        for letter_id in wanted:
            busy = letter_id in pending
            words = "its order changes too fast; try again" if busy else "there is no such dead letter"
            outcomes.setdefault(letter_id, Outcome(letter=letter_id, done=False, words=words))
        return [outcomes[letter_id] for letter_id in wanted]

    def _write(
        self, plans: Mapping[int, tuple[Letter, Plan]], person: Person, outcomes: dict[int, Outcome]
    ) -> list[int]:
        """Write what can be written; returns those that have to be planned anew."""
        announce: list[tuple[str, str]] = []
        with self.letters.deciding() as decision:
            decision.lock(sorted({letter.run.order_id for letter, _ in plans.values() if letter.run}))
            current = decision.take(list(plans))
            for letter_id, (letter, _) in plans.items():
                if (current[letter_id].state, current[letter_id].deaths) != (letter.state, letter.deaths):
                    outcomes[letter_id] = Outcome(letter=letter_id, done=False, words=_faster(current[letter_id]))
            live = {key: plan for key, (_, plan) in plans.items() if key not in outcomes}
            self._send([plan.message for plan in live.values() if plan.message])
            again = _append(decision, live)
            kept = {key: plan for key, plan in live.items() if key not in again}
            notes = {key: plan.state for key, plan in kept.items() if plan.state}
            decision.note(
                [Note(letter_id=key, state=state, by=person.by, reason=person.reason) for key, state in notes.items()]
            )
        for key, plan in kept.items():
            outcomes[key] = Outcome(letter=key, done=not plan.refused, words=plan.refused or plan.words)
            announce += plan.announce
        if announce:
            self.announce(announce)
        return again

    def _send(self, some: Sequence[Outbound]) -> None:
        if some:
            self.publisher.publish(some)

    def _look(self, found: Sequence[Letter]) -> Sight:
        orders = sorted({letter.run.order_id for letter in found if letter.run})
        views, unreadable = self._views(orders)
        known = {view.order_id: Known(view=view, wants=processes.react(view, self.policy)) for view in views}
        streams = {letter_stream(letter.id): 0 for letter in found}
        versions = {recorded.stream: recorded.version for recorded in self.store.read(streams)} if streams else {}
        return Sight(now=self.store.now(), orders=known, versions=versions, unreadable=unreadable)

    def _views(self, orders: Sequence[str]) -> tuple[list[processes.OrderView], dict[str, str]]:
        """The orders, and why some cannot be read: those must not stand in the way of the others."""
        try:
            return (read_views(self.store, orders) if orders else []), {}
        except Poison as error:
            if len(orders) == 1:
                return [], {orders[0]: str(error)}
        parts = [self._views([order_id]) for order_id in orders]
        return [view for views, _ in parts for view in views], {
            key: why for _, some in parts for key, why in some.items()
        }

    def _foreseen(self, letter: Letter, sight: Sight) -> Foreseen:
        if letter.run is None:
            return foresee_message(letter, self.messages)
        if why := sight.refusal(letter):
            return Foreseen(letter=letter.id, subject=str(letter.run), outlook=why, would_run=False)
        known = sight.orders[letter.run.order_id]
        needed = self._needed(known.view, letter.run)
        context = Context(now=sight.now, policy=self.policy, warehouses=self.warehouses, stock=self._stock(needed))
        return foresee_run(letter, letter.run, known.view, context)

    def _needed(self, view: processes.OrderView, run: RunKey) -> set[str]:
        return steps.stock_to_begin(view, run, self.warehouses) if view.order.placed else set()

    def _stock(self, streams: set[str]) -> StockBook:
        loaded = {stream: (stocks.Stock(), 0) for stream in streams}
        for stream, some in groupby(self.store.read(dict.fromkeys(streams, 0)), key=lambda recorded: recorded.stream):
            events = [recorded.event for recorded in some]
            loaded[stream] = (stocks.fold(events), len(events))
        return StockBook(loaded)


def _refused(letter: Letter, sight: Sight) -> Plan | None:
    why = sight.refusal(letter)
    return Plan(refused=why) if why else None


def _append(decision: Decision, live: Mapping[int, Plan]) -> list[int]:
    """Append the units; the ids of those that met a conflict."""
    units = [(key, plan.unit) for key, plan in live.items() if plan.unit]
    verdicts = decision.append([unit for _, unit in units]) if units else []
    return [key for (key, _), verdict in zip(units, verdicts, strict=True) if verdict.outcome != "appended"]


def _check(person: Person) -> None:
    if not person.reason.strip():
        raise CommandRefused("say why; it is kept with the decision", field="reason")
    if len(person.reason) > LONGEST_REASON or not person.reason.isprintable():
        raise CommandRefused(f"up to {LONGEST_REASON} printable characters", field="reason")


def _not_open(letter: Letter) -> str:
    who = f" by {letter.noted_by}" if letter.noted_by else ""
    return f"it is not open any more: {letter.state.value}{who}"


def _faster(letter: Letter) -> str:
    return f"somebody was faster: {letter.state.value} by {letter.noted_by}" if letter.noted_by else "it died again"
