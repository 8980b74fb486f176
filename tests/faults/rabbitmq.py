"""What can happen to a RabbitMQ node: frozen, wiped, out of memory, a queue that is full or gone."""

import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from kombu import Connection

from tests.faults import signals
from tests.servers.rabbitmq import RabbitNode

CONTROL_S = 60.0


def control(node: RabbitNode, *arguments: str) -> str:
    """`rabbitmqctl` on this node; returns what it printed."""
    program = node._script.with_name("rabbitmqctl")
    seen = subprocess.run(
        [program, "-n", node._name, *arguments],
        env=node._environment(),
        capture_output=True,
        text=True,
        check=True,
        timeout=CONTROL_S,
    )
    return seen.stdout


def pid_of(node: RabbitNode) -> int:
    return int((node._folder / "node.pid").read_text(encoding="ascii"))


def frozen(node: RabbitNode) -> AbstractContextManager[None]:
    """Connected to everybody, answering nobody."""
    return signals.frozen([pid_of(node)])


@contextmanager
def out_of_memory(node: RabbitNode) -> Iterator[None]:
    """The memory alarm: publishers are blocked, consumers are not."""
    control(node, "set_vm_memory_high_watermark", "0.0000001")
    try:
        yield
    finally:
        control(node, "set_vm_memory_high_watermark", "0.6")


@contextmanager
def full_queues(node: RabbitNode) -> Iterator[None]:
    """Every queue refuses more than one message: the broker nacks."""
    control(node, "set_policy", "full", "^ow_", '{"max-length":1,"overflow":"reject-publish"}', "--apply-to", "queues")
    try:
        yield
    finally:
        control(node, "clear_policy", "full")


def reset(node: RabbitNode) -> None:
    """Forget everything: queues, messages, exchanges, users. The user of the tests is made again."""
    for command in ("stop_app", "reset", "start_app"):
        control(node, command)


def delete_queues(url: str, names: list[str]) -> int:
    """With whatever waits in them."""
    with Connection(url) as connection:
        for queue in names:
            connection.default_channel.queue_delete(queue)
    return len(names)
