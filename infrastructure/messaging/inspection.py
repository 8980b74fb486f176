"""Is the broker as it should be? Asked over the same connection as everything else, because the management port should be closed.

RabbitMQ tells nobody how a queue was declared; but declaring one that exists, with all the arguments that are expected, either does
nothing or is refused with the name of the argument that differs. Who leads a quorum queue cannot be seen in this way.
"""

import re
import secrets
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from time import monotonic, sleep
from typing import Literal

import amqp

from domain.errors import BrokerUnavailable
from infrastructure.messaging.amqp_wire import AmqpWire
from infrastructure.messaging.settings import BrokerSettings
from infrastructure.messaging.tls import place_of
from infrastructure.messaging.topology import GROUP_SIZE, declared_well, queue_arguments, with_group_size
from infrastructure.messaging.untyped import Untyped

PROBE_S = 10.0
PROBE_EXPIRES_MS = 60_000
PAUSE_S = 0.05
HARMLESS = {"x-max-length", "x-delivery-limit"}
DIFFERENT = re.compile(r"inequivalent arg '([\w-]+)' for queue .*?received (.*?) but current is (.*)", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What was looked at, and what to do about it."""

    what: str
    state: Literal["ok", "warn", "fail"]
    why: str
    fix: str = ""


def inspect_amqp(settings: BrokerSettings, queues: Sequence[str]) -> Iterator[Checked]:
    """The nodes, every queue, and the way of a dead letter. Raises `BrokerUnavailable` if no node can be asked."""
    yield from _nodes(settings)
    wire = AmqpWire(settings, consuming=False)
    try:
        wire.open()
        for queue in queues:
            yield _queue(wire, queue)
        yield _dead_letter(wire)
    except (OSError, amqp.exceptions.AMQPError) as error:
        raise BrokerUnavailable(f"{type(error).__name__}: {error}") from error
    finally:
        wire.close()


def _nodes(settings: BrokerSettings) -> Iterator[Checked]:
    for node in settings.nodes:
        wire = AmqpWire(replace(settings, url=node), consuming=False)
        try:
            wire.open()
            yield Checked(what=f"node {place_of(node)}", state="ok", why=_product(wire))
        except (OSError, amqp.exceptions.AMQPError) as error:
            why, fix = f"{type(error).__name__}: {error}", "rabbitmq-diagnostics check_running on that host"
            yield Checked(what=f"node {place_of(node)}", state="fail", why=why, fix=fix)
        finally:
            wire.close()


def _product(wire: AmqpWire) -> str:
    told = wire.server_properties
    return f"{told.get('product', '?')} {told.get('version', '?')}, cluster {told.get('cluster_name', '?')}"


def _queue(wire: AmqpWire, queue: str) -> Checked:
    waiting = wire.depth(queue)
    if waiting is None:
        return Checked(what=queue, state="fail", why="there is no such queue", fix="orderwright broker setup")
    refusals: list[str] = []
    for arguments in declared_well(wire.settings, queue):
        try:
            _declare_in_any_size(wire, queue, arguments)
        except amqp.exceptions.PreconditionFailed as error:
            refusals.append(str(error))
        except amqp.exceptions.AccessRefused:
            return Checked(what=queue, state="ok", why=f"{waiting} messages; this user may not ask how it was declared")
        else:
            by = "" if "x-overflow" in arguments else "; its limits are left to policies"
            return Checked(what=queue, state="ok", why=f"quorum, {waiting} messages{by}")
    return _different(queue, *refusals)


def _different(queue: str, as_ours: str, as_bare: str) -> Checked:
    """A queue without any limits is told what is wrong with it apart from those."""
    found = DIFFERENT.search(as_bare if "current is none" in as_ours else as_ours)
    name, received, current = found.groups() if found else ("kind", "", as_ours)
    state: Literal["warn", "fail"] = "warn" if name in HARMLESS else "fail"
    fix = f"when it is empty: rabbitmqctl delete_queue {queue}, then orderwright broker setup"
    why = f"declared with another {name}: {current.strip()}, wanted {received.strip()}"
    return Checked(what=queue, state=state, why=why, fix=fix)


def _declare_in_any_size(wire: AmqpWire, queue: str, arguments: dict[str, object]) -> None:
    try:
        _declare(wire, queue, arguments)
    except amqp.exceptions.PreconditionFailed as error:
        found = DIFFERENT.search(str(error))
        if found is None or found[1] != GROUP_SIZE:
            raise
        size = re.search(r"\d+", found[3])
        _declare(wire, queue, with_group_size(arguments, int(size[0]) if size else None))


def _declare(wire: AmqpWire, queue: str, arguments: dict[str, object]) -> None:
    channel = wire.new_channel()  # a refusal costs the channel
    channel.queue_declare(queue=queue, durable=True, auto_delete=False, arguments=arguments)
    channel.close()


def _dead_letter(wire: AmqpWire) -> Checked:
    """Sends a message the way that a refused one goes, between two queues of its own: nobody else may take it."""
    probe = f"ow_check_{secrets.token_hex(4)}"
    settings = replace(wire.settings, dead_queue=f"{probe}_dead")
    queues = (probe, settings.dead_queue)
    try:
        for queue in queues:
            _declare(wire, queue, queue_arguments(settings, queue) | {"x-expires": PROBE_EXPIRES_MS})
        arrived_s = _travel(wire.new_channel(), *queues)
    except amqp.exceptions.AccessRefused:
        why = "not tried: this user may not make queues"
        return Checked(
            what="dead letters", state="ok", why=why, fix="check with the user of `orderwright broker setup`"
        )
    finally:
        with suppress(amqp.exceptions.AMQPError):
            for queue in queues:
                wire.drop_one(queue)
    if arrived_s is None:
        why, fix = f"a refused message did not arrive in {PROBE_S:g} s", "rabbitmqctl enable_feature_flag all"
        return Checked(what="dead letters", state="fail", why=why, fix=fix)
    return Checked(what="dead letters", state="ok", why=f"a refused message arrived after {arrived_s:.2f} s")


def _travel(channel: Untyped, probe: str, dead: str) -> float | None:
    message = amqp.Message(b"{}", delivery_mode=2)
    began = monotonic()
    channel.basic_publish_confirm(message, routing_key=probe, mandatory=True, confirm_timeout=PROBE_S)
    refused = False
    while monotonic() < began + PROBE_S:
        got = channel.basic_get(dead if refused else probe, no_ack=False)
        if got is None:
            sleep(PAUSE_S)
        elif refused:
            return monotonic() - began
        else:
            channel.basic_reject(got.delivery_tag, requeue=False)
            refused = True
    return None
