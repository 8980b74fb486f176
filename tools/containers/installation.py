"""The compose installation under test: started, given orders, scaled, stopped; and what must be true of it then."""

import json
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
PATIENCE_S = 600.0
ORDER = {
    "currency": "EUR",
    "lines": [{"sku": "CUP-BLUE", "quantity": 1, "amount": 995}],
    "shipping": 490,
    "total": 1485,
    "ship_to": {
        "name": "Ada Lovelace",
        "street": "Torstrasse 1",
        "city": "Berlin",
        "postal_code": "10119",
        "country": "DE",
    },
    "payment": {"token": "tok_visa_4242"},
}


class Installation:
    """One compose project."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = {**environment, "COMPOSE_PROJECT_NAME": "owtest"}

    def up(self, workers: int) -> None:
        """Start, or scale to so many workers, and wait until everything says that it is healthy."""
        self.compose("up", "--detach", "--no-build", "--scale", f"worker={workers}")
        _await(lambda: self._unhealthy(workers) == [], lambda: f"not healthy: {self._unhealthy(workers)}")

    def submit(self, prefix: str, orders: int) -> None:
        """By the one line of the manual."""
        lines = [json.dumps({"order_id": f"{prefix}-{n}", "customer_id": f"c-{n}", **ORDER}) for n in range(orders)]
        self.compose("run", "--rm", "-T", "cli", "submit", "-", given="\n".join(lines) + "\n")

    def cli(self, *words: str) -> str:
        return self.compose("run", "--rm", "-T", "cli", *words)

    def await_finished(self, orders: int) -> None:
        _await(lambda: self._finished(orders), lambda: f"not all finished: {self.stages()}")

    def stages(self) -> Counter[str]:
        """How many orders are where."""
        rows = json.loads(self.cli("orders", "list", "--json", "--limit", "100000"))
        return Counter(row["stage"] for row in rows)

    def _finished(self, orders: int) -> bool:
        stages = self.stages()
        return sum(stages.values()) == orders and not {"placed", "open"} & stages.keys()

    def exit_codes(self) -> dict[str, int]:
        """Of every container that has ended."""
        return {name: state["ExitCode"] for name, state in self._states().items() if state["Status"] == "exited"}

    def down(self) -> None:
        self.compose("down", "--volumes", "--timeout", "60")

    def compose(self, *words: str, given: str = "") -> str:
        done = subprocess.run(
            ["docker-compose", *words],
            cwd=ROOT,
            env=self._environment,
            input=given,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        if done.returncode:
            raise SystemExit(
                f"containers: docker-compose {' '.join(words[:2])} failed:\n{(done.stdout + done.stderr)[-3000:]}"
            )
        return done.stdout

    def _unhealthy(self, workers: int) -> list[str]:
        running = {name: state for name, state in self._states().items() if state["Status"] != "exited"}
        bad = [name for name, state in running.items() if state["Health"]["Status"] != "healthy"]
        missing = workers - sum("_worker_" in name for name in running)
        return bad + ["a worker"] * max(0, missing)

    def _states(self) -> dict[str, dict]:
        ids = self.compose("ps", "--all", "--quiet").split()
        said = subprocess.run(
            ["docker", "inspect", "--format", "{{.Name}} {{json .State}}", *ids],
            env=self._environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout
        return {line.split(" ", 1)[0].strip("/"): json.loads(line.split(" ", 1)[1]) for line in said.splitlines()}


def _await(condition: Callable[[], bool], why: Callable[[], str]) -> None:
    until = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > until:
            raise SystemExit(f"containers: {why()}")
        time.sleep(1.0)
