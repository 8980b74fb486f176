"""Fail points: named places at every boundary where a process may die, at which a test lets it.

    reach("after_call_before_commit", order_id)         # one global None check, unless a plan is armed

A plan is armed only in a process that was started in test mode (`--test-mode`, or ORDERWRIGHT_TEST_MODE=1) with ORDERWRIGHT_FAILPOINTS
set; anywhere else the variable means nothing. It is a list of rules with commas between:

    POINT:ACTION[@WHEN][;OPTION...]           after_call_before_commit:kill@5%;seed=7,before_renew:raise@2

    kill            signal 9 to this process            @3          the third time only
    raise           an error that nobody expects        @3+         from the third time on
    sleep(SECONDS)  this thread waits                   @5%         by chance; `seed` makes it another chance
    spin(SECONDS)   a thread that keeps the processor   @key=A-7    whenever the point is reached for this order
    hang            this thread never comes back        (none)      every time
    drop-response   the answer is lost on its way
    dup             every message twice                 ;times=2    at most so often in one process
    reorder(N)      every other message waits, N at most, and is mixed with those that come later
    lose            messages vanish, as if they had been sent                       ;seed=7

`dup`, `reorder` and `lose` are for points that messages pass (`passing`); what waits when its process ends is lost, which a wake-up
may be. With ORDERWRIGHT_FAILPOINTS_LOG every point that is reached, and every rule that fires, leaves a line in that file before anything
happens, so a test knows how often it has struck, whatever died.
"""

import os
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, TypeVar

from domain.errors import Misconfigured, OutcomeUnknown

T = TypeVar("T")

TEST_MODE = "ORDERWRIGHT_TEST_MODE"
PLAN = "ORDERWRIGHT_FAILPOINTS"
LOG = "ORDERWRIGHT_FAILPOINTS_LOG"

POINTS: Mapping[str, str] = {
    # a step worker
    "before_claim": "woken, nothing claimed",
    "after_claim_before_ack": "the claim is committed, the frames are not acknowledged",
    "after_ack": "the frames are acknowledged, nothing is begun",
    "after_sweep": "runs claimed that nobody announced",
    "before_load": "the orders of a batch are not read yet",
    "before_turn": "one order of a batch is about to be looked at (key: order)",
    "in_turn": "a run of it is being decided (key: order)",
    "before_append": "the batch is decided, nothing is written",
    "in_stock_transaction": "stock is locked, nothing is written",
    "before_stock_commit": "stock and orders are written, not committed",
    "after_append_before_calls": "the intents are committed, nobody was called",
    "before_call": "a call is about to be made (key: order)",
    "after_call_before_commit": "the outside has answered, nothing of it is stored (key: order)",
    "before_announce": "committed, nobody was woken for what follows",
    "before_disown": "about to give back what the answer of the store left in doubt",
    "before_register": "about to become a holder",
    "before_renew": "about to renew the lease",
    "after_renew": "the lease is renewed",
    "before_release": "drained, nothing given back",
    # the store
    "before_store_append": "a connection is taken, the statement not sent",
    "after_store_append": "the statement has committed, its answer is not used",
    "holding_connection": "a connection of the pool is taken",
    # relay, keeper
    "before_orphans": "the runs of the vanished are about to be made ready",
    "after_wake_before_publish": "rows are marked as announced, nothing is published",
    "after_publish_before_next": "published, the next look not begun",
    "before_bury": "a dead letter is received, not stored",
    "after_bury_before_ack": "a dead letter is stored, not acknowledged",
    # the doors
    "before_accept": "orders are read, nothing is stored",
    "after_accept_before_announce": "orders are stored, nobody was woken",
    "after_accept_before_reply": "orders from the broker are stored, their sender was not told",
    "after_reply_before_ack": "the sender was told, the message is not acknowledged",
    "before_command": "a person's command is decided, nothing is written",
    # the broker
    "before_publish": "messages are about to be sent (messages pass)",
    "after_publish": "messages are confirmed",
    "consuming": "one round of the consumer's loop",
    # read models
    "projector_began": "a round has begun, nothing is applied",
    "before_checkpoint": "a page is applied, the checkpoint not moved",
    "before_projector_commit": "rows and checkpoint are written, not committed",
    "filling": "a page of a rebuild is applied",
    "before_switch": "a rebuild is complete, the old read model serves",
    "before_switch_commit": "the new read model is in place, not committed",
    # schema and work list
    "before_migration": "a migration is about to be applied",
    "before_migration_commit": "a migration is applied, not committed",
    "rebuilding_work": "a page of orders was looked at",
}

_RULE = re.compile(
    r"(?P<point>[a-z_]+):(?P<action>[a-z-]+)(?:\((?P<argument>[\d.]+)\))?(?:@(?P<when>[^;,]+))?(?P<options>(?:;\w+=\d+)*)"
)
_ACTIONS = frozenset({"kill", "raise", "sleep", "spin", "hang", "drop-response", "dup", "reorder", "lose"})


class InjectedFault(Exception):
    """Raised by a fail point; nothing in the product knows it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """`nth` 0: any time; `share` of the times; `key` empty: for whomever."""

    point: str
    action: str
    argument: float = 0.0
    nth: int = 0
    onwards: bool = False
    share: float = 1.0
    key: str = ""
    seed: int = 0
    times: int = 0


class Plan:
    """The rules of one process, and what became of them. Used by many threads."""

    def __init__(self, rules: Sequence[Rule], log: str = "") -> None:
        self._rules = list(rules)
        self._lock = threading.Lock()
        self._reached: Counter[str] = Counter()
        self._fired: Counter[int] = Counter()
        # each life draws anew, or a process that is started again would die at the same place for ever
        self._chances = [Random(f"{rule.seed} {rule.point} {os.getpid()}") for rule in rules]
        self._pool: list[Any] = []
        self._log = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644) if log else -1

    def reach(self, point: str, key: str) -> None:
        for rule in self._struck(point, key):
            _act(rule)

    def passing(self, point: str, messages: Sequence[T]) -> Sequence[T]:
        passed = list(messages)
        for rule in self._struck(point, ""):
            if rule.action == "dup":
                passed += passed
            elif rule.action == "lose":
                passed = []
            elif rule.action == "reorder":
                passed = self._mix(passed, int(rule.argument), self._chances[self._rules.index(rule)])
            else:
                _act(rule)
        return passed

    def _mix(self, messages: list[T], size: int, chance: Random) -> list[T]:
        with self._lock:
            pool: list[T] = [*self._pool, *messages]
            chance.shuffle(pool)
            kept = min(size, len(pool) // 2)
            self._pool = list(pool[:kept])
            return pool[kept:]

    def _struck(self, point: str, key: str) -> list[Rule]:
        with self._lock:
            self._reached[point] += 1
            if self._reached[point] == 1:
                self._write(f"reached {point}")
            struck = [n for n, rule in enumerate(self._rules) if rule.point == point and self._strikes(n, key)]
            for number in struck:
                self._fired[number] += 1
                self._write(f"fired {point} {self._rules[number].action} {key}")
        return [self._rules[number] for number in struck]

    def _strikes(self, number: int, key: str) -> bool:
        rule, time_ = self._rules[number], self._reached[self._rules[number].point]
        if (rule.key and rule.key != key) or (rule.times and self._fired[number] >= rule.times):
            return False
        if rule.nth and not (time_ == rule.nth or (rule.onwards and time_ > rule.nth)):
            return False
        return rule.share >= 1 or self._chances[number].random() < rule.share

    def _write(self, line: str) -> None:
        if self._log >= 0:
            os.write(self._log, f"{line}\n".encode())


_plan: Plan | None = None


def reach(point: str, key: str = "") -> None:
    """Something may happen here, in a test."""
    if _plan is not None:
        _plan.reach(point, key)


def passing(point: str, messages: Sequence[T]) -> Sequence[T]:
    """As `reach`, for messages, which may come out doubled or in another order."""
    return messages if _plan is None else _plan.passing(point, messages)


def arm(environment: Mapping[str, str]) -> bool:
    """Arm the plan of this process, if it is a test. Raises `Misconfigured` for a plan that cannot be read."""
    global _plan  # noqa: PLW0603 - one plan a process, and `reach` must cost one look
    if environment.get(TEST_MODE) != "1" or not environment.get(PLAN):
        return False
    _plan = Plan(read_plan(environment[PLAN]), environment.get(LOG, ""))
    return True


def disarm() -> None:
    """No plan any more, for tests that share a process."""
    global _plan  # noqa: PLW0603 - as above
    _plan = None


def read_plan(text: str) -> list[Rule]:
    """The rules of a plan; `none` has no rule and only notes what is reached."""
    return [_rule(part.strip()) for part in text.split(",") if part.strip() not in {"", "none"}]


def _rule(text: str) -> Rule:
    found = _RULE.fullmatch(text)
    if found is None:
        raise Misconfigured(f"{PLAN}: cannot read {text!r}; write POINT:ACTION[@WHEN][;OPTION=N]")
    if found["point"] not in POINTS:
        raise Misconfigured(f"{PLAN}: there is no fail point {found['point']!r}")
    if found["action"] not in _ACTIONS:
        raise Misconfigured(f"{PLAN}: there is no action {found['action']!r}; there are {', '.join(sorted(_ACTIONS))}")
    options = {name: int(value) for name, value in re.findall(r";(\w+)=(\d+)", found["options"])}
    if unknown := options.keys() - {"seed", "times"}:
        raise Misconfigured(f"{PLAN}: there is no option {min(unknown)!r}; there are seed and times")
    when, argument = _when(found["when"] or ""), float(found["argument"] or 0)
    return Rule(point=found["point"], action=found["action"], argument=argument, **when, **options)  # type: ignore[arg-type]


def _when(text: str) -> dict[str, object]:
    if not text:
        return {}
    if text.startswith("key="):
        return {"key": text.removeprefix("key=")}
    try:
        if text.endswith("%"):
            return {"share": float(text[:-1]) / 100}
        return {"nth": int(text.rstrip("+")), "onwards": text.endswith("+")}
    except ValueError:
        raise Misconfigured(f"{PLAN}: cannot read @{text}; write @3, @3+, @5% or @key=ORDER") from None


def _act(rule: Rule) -> None:
    match rule.action:
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "sleep":
            time.sleep(rule.argument)
        case "spin":
            until = time.monotonic() + rule.argument
            while time.monotonic() < until:
                pass
        case "hang":
            threading.Event().wait()
        case "drop-response":
            raise OutcomeUnknown(f"the answer was lost at {rule.point}")
        case _:
            raise InjectedFault(f"fail point {rule.point}")
