"""Somebody changes a setting during every fault. A change that was acknowledged must be in the history, once, whoever was killed then."""

import json
from collections import Counter
from subprocess import TimeoutExpired

from tests.chaos.shop import Shop
from tests.faults.nursery import Child

WITHIN_S = 60.0


class Changes:
    """Asked for through the command line, and counted there."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self._asked: dict[str, Child] = {}

    def make(self, number: int) -> None:
        """Begin a change, and do not wait for it."""
        reason = f"drill {number}"
        command = ("settings", "set", f"batch={150 + number}", "--reason", reason)
        self._asked[reason] = self._shop.command_line.begin(*command, log="settings.log")

    def acknowledged(self) -> set[str]:
        return {reason for reason, process in self._asked.items() if _code(process) == 0}

    def recorded(self) -> Counter[str]:
        """What the history has, by the reason that was given."""
        told = self._shop.command_line.read("settings", "history", "--limit", "1000", "--output", "jsonl")
        rows = [json.loads(line) for line in told.splitlines() if line.startswith('{"version"')]
        return Counter(row["why"] for row in rows)

    def judge(self) -> tuple[bool, str]:
        """Whether none was lost or made twice, and a line that tells."""
        acknowledged, recorded = self.acknowledged(), self.recorded()
        lost = acknowledged - recorded.keys()
        twice = [reason for reason, count in recorded.items() if count > 1]
        counts = f"{len(self._asked)} asked for, {len(acknowledged)} acknowledged, {len(recorded)} in the history"
        return not lost and not twice, f"changes of settings: {counts}, {len(lost)} lost, {len(twice)} made twice"


def _code(process: Child) -> int:
    try:
        return process.wait(WITHIN_S)
    except TimeoutExpired:
        process.kill()
        return process.wait(WITHIN_S)
