"""What our queues are like on RabbitMQ: as arguments of a declaration, and as definitions that an operator imports.

Every queue is a quorum queue: a message that is confirmed is on a majority of the nodes. A full one refuses instead of dropping. What the
broker itself gives up (given out a thousand times, far above our own bound) goes through the default exchange to the dead-letter queue, and
leaves its own queue only when it has arrived there.

Arguments of a queue can never be changed, policies can; so the definitions leave everything but the kind of queue to policies. They also
give every role a user that may do what the role does and no more. `amq.default` is the default exchange: who may write to it may send to
every queue; who may not declare anything finds the queues made.
"""

import base64
import hashlib
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from domain.messaging import REPLIES
from infrastructure.messaging.settings import BrokerSettings

Arguments = dict[str, object]
Definitions = dict[str, list[dict[str, object]]]

NO_LIMIT = 2**31 - 1
NOTHING, SEND = "^$", r"^amq\.default$"
GROUP_SIZE = "x-quorum-initial-group-size"
USER = "orderwright-{role}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rights:
    """Regular expressions of names: what a user may make, write to and read from."""

    configure: str = NOTHING
    write: str = NOTHING
    read: str = NOTHING


def queue_arguments(settings: BrokerSettings, queue: str) -> Arguments:
    """With which a queue is declared."""
    if queue.startswith(REPLIES):  # one who does not read theirs must not hold up the answers to others
        limits: Arguments = {"x-overflow": "drop-head", "x-expires": round(settings.replies_expire_s * 1_000)}
    else:
        limits = {f"x-{name}": value for name, value in _policy(settings, dead=queue == settings.dead_queue).items()}
    return kind_of_queue(settings) | limits | {"x-max-length": settings.max_length}


def kind_of_queue(settings: BrokerSettings) -> Arguments:
    """What only a declaration can say."""
    return {"x-queue-type": "quorum", GROUP_SIZE: settings.group_size}


def declared_well(settings: BrokerSettings, queue: str) -> Sequence[Arguments]:
    """The ways in which a queue may have been declared: by us, or by definitions that leave its limits to policies."""
    return queue_arguments(settings, queue), kind_of_queue(settings)


def with_group_size(arguments: Arguments, size: int | None) -> Arguments:
    """As a queue was declared in a cluster of another size, or by us of old, who did not say it."""
    others = {name: value for name, value in arguments.items() if name != GROUP_SIZE}
    return others if size is None else others | {GROUP_SIZE: size}


def rights(settings: BrokerSettings, work: Sequence[str], intake: str) -> Mapping[str, Rights]:
    """Of each role. `work` are the queues of the steps."""
    every = [*work, intake, settings.dead_queue]
    return {
        "setup": Rights(configure="^ow_", write=r"^(amq\.default|ow_.*)$", read="^ow_"),
        "worker": Rights(write=SEND, read=_one_of(work)),
        "relay": Rights(write=SEND),
        "intake": Rights(write=SEND, read=_one_of([intake])),
        "keeper": Rights(read=_one_of([settings.dead_queue])),
        "producer": Rights(configure=f"^{REPLIES}", write=rf"^(amq\.default|{REPLIES}.*)$", read=f"^{REPLIES}"),
        "doctor": Rights(read=_one_of(every)),
    }


def definitions(
    settings: BrokerSettings, work: Sequence[str], intake: str, *, vhost: str, passwords: Mapping[str, str]
) -> Definitions:
    """For `rabbitmqctl import_definitions`. Only roles with a password get a user, and only users get rights."""
    granted = [(role, one) for role, one in rights(settings, work, intake).items() if role in passwords]
    every, dead = [*work, intake], settings.dead_queue
    return {
        "vhosts": [{"name": vhost}],
        "users": [_user(role, passwords[role]) for role, _ in granted],
        "permissions": [
            {"user": USER.format(role=role), "vhost": vhost, **{n: getattr(one, n) for n in Rights.__slots__}}
            for role, one in granted
        ],
        "policies": [
            _as_policy(settings, vhost, "orderwright-work", every, dead=False),
            _as_policy(settings, vhost, "orderwright-dead", [dead], dead=True),
        ],
        "queues": [
            {"name": queue, "vhost": vhost, "durable": True, "auto_delete": False, "arguments": kind_of_queue(settings)}
            for queue in [*every, dead]
        ],
    }


def password_hash(password: str, salt: bytes | None = None) -> str:
    """As RabbitMQ stores it (rabbit_password_hashing_sha256)."""
    salt = secrets.token_bytes(4) if salt is None else salt
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


def _policy(settings: BrokerSettings, *, dead: bool) -> Arguments:
    if dead:  # RabbitMQ 4 drops what was given back 20 times, unless it is told otherwise
        return {"overflow": "reject-publish", "delivery-limit": NO_LIMIT}
    return {
        "overflow": "reject-publish",
        "delivery-limit": settings.delivery_limit,
        "dead-letter-exchange": "",
        "dead-letter-routing-key": settings.dead_queue,
        "dead-letter-strategy": "at-least-once",
    }


def _as_policy(
    settings: BrokerSettings, vhost: str, name: str, queues: Sequence[str], *, dead: bool
) -> dict[str, object]:
    limits = _policy(settings, dead=dead) | {"max-length": settings.max_length}
    place = {"vhost": vhost, "name": name, "pattern": _one_of(queues), "apply-to": "queues", "priority": 10}
    return {**place, "definition": limits}


def _user(role: str, password: str) -> dict[str, object]:
    hashed = {"password_hash": password_hash(password), "hashing_algorithm": "rabbit_password_hashing_sha256"}
    return {"name": USER.format(role=role), "tags": [], **hashed}


def _one_of(queues: Iterable[str]) -> str:
    return f"^({'|'.join(queues)})$"
