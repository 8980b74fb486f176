"""The simulator as a process: listens (on the loopback interface, unless told otherwise), collects what arrives into batches, drains when told to stop.

The loop is the group commit: everything read in one turn of it is served as one batch in the next, and while that batch is flushed to
disk the following one gathers in the sockets' buffers. No thread, no lock; one timer, for the heartbeat of `orderwright health`.
"""

import asyncio
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from workers.health import Pulse, Silent
from workers.simulator.behaviour import Behaviour
from workers.simulator.calls import Call, Reply
from workers.simulator.connection import Connection
from workers.simulator.desk import Desk
from workers.simulator.ledger import Ledger
from workers.simulator.site import Request, Site

HOST = "127.0.0.1"
DRAIN_S = 10.0
BEAT_S = 1.0
MAX_BATCH = 500

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatorConfig:
    """Port 0 takes any free port and tells it in `port_file`; the seed decides every chance."""

    ledger: Path
    host: str = HOST
    port: int = 0
    port_file: Path | None = None
    seed: int = 0
    behaviour: Behaviour = field(default_factory=Behaviour)
    pulse: Pulse = field(default_factory=Silent)


def serve(config: SimulatorConfig) -> None:
    """Runs until SIGTERM or SIGINT, then answers what was asked and returns."""
    ledger = Ledger(config.ledger)
    try:
        asyncio.run(_serve(config, ledger))
    finally:
        ledger.close()


class _Batcher:
    """Gathers the calls of one turn of the loop."""

    def __init__(self, desk: Desk, site: Site) -> None:
        self._desk = desk
        self._site = site
        self._pending: list[tuple[Call, Callable[[Reply], None]]] = []

    def accept(self, request: Request, answer: Callable[[Reply], None]) -> None:
        opened = self._site.open(request)
        if isinstance(opened, Reply):
            answer(opened)
            return
        if not self._pending:
            asyncio.get_running_loop().call_soon(self._flush)
        self._pending.append((opened, answer))

    def _flush(self) -> None:
        batch, self._pending = self._pending[:MAX_BATCH], self._pending[MAX_BATCH:]
        if self._pending:
            asyncio.get_running_loop().call_soon(self._flush)
        replies = self._desk.serve([call for call, _ in batch])
        for (_, answer), reply in zip(batch, replies, strict=True):
            answer(reply)


async def _serve(config: SimulatorConfig, ledger: Ledger) -> None:
    desk = Desk(ledger, seed=config.seed, behaviour=config.behaviour, clock_ms=lambda: time.time_ns() // 1_000_000)
    desk.change(config.behaviour)
    batcher = _Batcher(desk, Site(desk, ledger))
    connections: set[Connection] = set()

    def connect() -> Connection:
        return Connection(
            batcher.accept,
            open_connections=connections,
            drip_interval_s=lambda: desk.behaviour.drip_interval_ms / 1000,
        )

    stopping = _stop_on_signals()
    server = await asyncio.get_running_loop().create_server(connect, config.host, config.port, backlog=1024)
    port = server.sockets[0].getsockname()[1]
    _tell(config, port)
    while not stopping.is_set():
        config.pulse.beat(reached=True)
        with suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), BEAT_S)
    config.pulse.beat(reached=False)
    log.info("simulator stops", open_connections=len(connections))
    server.close()
    await _drain(connections)


def _stop_on_signals() -> asyncio.Event:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    return stopping


def _tell(config: SimulatorConfig, port: int) -> None:
    log.info("simulator listens", url=f"http://{config.host}:{port}", ledger=str(config.ledger), seed=config.seed)
    if config.port_file is not None:
        draft = config.port_file.with_name(config.port_file.name + ".part")
        draft.write_text(f"{port}\n", encoding="ascii")
        draft.replace(config.port_file)


async def _drain(connections: set[Connection]) -> None:
    """Idle connections close at once, busy ones after their answer; what hangs is left behind after `DRAIN_S`."""
    until = time.monotonic() + DRAIN_S
    for connection in list(connections):
        connection.drain()
    while connections and time.monotonic() < until:  # noqa: ASYNC110 - the set empties itself
        await asyncio.sleep(0.01)
