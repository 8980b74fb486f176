"""`orderwright broker`: queues are made and checked, and the definitions give every role what it needs and no more."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import amqp
import pytest
from kombu import Connection

from domain.errors import BrokerUnavailable, Misconfigured
from domain.messaging import Inbound, Outbound
from infrastructure.embedded.waiting import wait_until
from infrastructure.messaging.broker import Broker, connect
from infrastructure.messaging.hardening import anything
from infrastructure.messaging.inspection import Checked
from infrastructure.messaging.settings import BrokerSettings
from infrastructure.settings import load
from tests.contracts.inbox import PATIENCE_S, Inbox
from tests.e2e.program import Program
from tests.faults.rabbitmq import control
from tests.servers.rabbitmq import RabbitNode, required_script
from workers.bootstrap import Runtime
from workers.bootstrap.broker_admin import WORK, read_passwords
from workers.doctor import installation

pytestmark = [pytest.mark.e2e, pytest.mark.rabbitmq, pytest.mark.xdist_group("rabbitmq")]

ROLES = ("setup", "worker", "relay", "intake", "keeper", "producer", "doctor")
VHOST = "orderwright"


def password(role: str) -> str:
    return f"password-of-{role}"


@pytest.fixture
def shop(tmp_path: Path) -> Program:
    return Program(tmp_path, {})


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitNode]:
    node = RabbitNode(tmp_path_factory.mktemp("rabbitmq-admin"), required_script())
    node.start()
    yield node
    node.stop()


@contextmanager
def admin(url: str) -> Iterator[Runtime]:
    with Runtime(load({"broker_url": url}, environment={})[0]) as runtime:
        yield runtime


def checked(url: str) -> dict[str, Checked]:
    """What the check finds, by what it looked at."""
    with admin(url) as runtime:
        return {one.what: one for one in runtime.broker_check()}


def vhost_of(node: RabbitNode, name: str) -> str:
    """A fresh virtual host; its URL."""
    control(node, "add_vhost", name)
    control(node, "set_permissions", "-p", name, "orderwright", ".*", ".*", ".*")
    return node.url.removesuffix("//") + f"/{name}"


@pytest.fixture(scope="module")
def defined(node: RabbitNode, tmp_path_factory: pytest.TempPathFactory) -> RabbitNode:
    """A broker that has read our definitions."""
    folder = tmp_path_factory.mktemp("definitions")
    (folder / "passwords").write_text("".join(f"{role} {password(role)}\n" for role in ROLES))
    printed = Program(folder, {}).call("broker", "definitions", "--passwords", "passwords", "--nodes", "1")
    assert printed.code == 0, printed.err
    assert "password-of" not in printed.out
    (folder / "definitions.json").write_text(printed.out)
    control(node, "import_definitions", str(folder / "definitions.json"))
    return node


def url_of(node: RabbitNode, role: str) -> str:
    return f"amqp://orderwright-{role}:{password(role)}@127.0.0.1:{node.port}/{VHOST}"


def broker_of(node: RabbitNode, role: str) -> Broker:
    return connect(BrokerSettings(url=url_of(node, role)))


def channel_of(node: RabbitNode, role: str) -> Any:
    connection = amqp.Connection(
        host=f"127.0.0.1:{node.port}",
        userid=f"orderwright-{role}",
        password=password(role),
        virtual_host=VHOST,
        read_timeout=PATIENCE_S,
    )
    connection.connect()
    return connection.channel()


def make(name: str) -> Callable[[Any], object]:
    return lambda channel: channel.queue_declare(
        name, durable=True, auto_delete=False, arguments={"x-queue-type": "quorum"}
    )


def take(queue: str) -> Callable[[Any], object]:
    return lambda channel: channel.basic_get(queue, no_ack=False)


def send(queue: str) -> Callable[[Any], object]:
    return lambda channel: channel.basic_publish_confirm(
        amqp.Message(b"{}"), routing_key=queue, confirm_timeout=PATIENCE_S
    )


def drop(queue: str) -> Callable[[Any], object]:
    return lambda channel: channel.queue_delete(queue)


OPERATIONS: dict[str, tuple[Callable[[Any], object], set[str]]] = {
    "send a frame": (send("ow_risk"), {"setup", "worker", "relay", "intake", "producer"}),
    "take frames": (take("ow_risk"), {"setup", "worker", "doctor"}),
    "take orders": (take("ow_orders"), {"setup", "intake", "doctor"}),
    "take dead letters": (take("ow_dead"), {"setup", "keeper", "doctor"}),
    "make a queue": (make("ow_more"), {"setup"}),
    "make a queue of another name": (make("theirs"), set()),
    "make a queue for answers": (make("ow_reply_1"), {"setup", "producer"}),
    "empty a queue": (lambda channel: channel.queue_purge("ow_more"), {"setup"}),
    "drop a queue": (drop("ow_more"), {"setup"}),
    "make an exchange": (lambda channel: channel.exchange_declare("theirs", "fanout"), set()),
}


@pytest.mark.parametrize("role", ROLES)
def test_a_role_may_do_what_it_does_and_no_more(defined: RabbitNode, role: str) -> None:
    for operation, (act, allowed) in OPERATIONS.items():
        channel = channel_of(defined, role)
        try:
            act(channel)
            refused = False
        except amqp.exceptions.AccessRefused:
            refused = True
        finally:
            with suppress(amqp.exceptions.AMQPError, OSError):
                channel.connection.close()
        assert refused == (role not in allowed), f"{role}: {operation}"


def test_the_roles_work_together_with_their_own_users(defined: RabbitNode) -> None:
    """A producer asks, the intake answers; a worker wakes itself and buries; the keeper keeps."""
    answers, woken, kept = Inbox(), Inbox(), Inbox()
    producer, intake, worker = (broker_of(defined, role).publisher() for role in ("producer", "intake", "worker"))

    def answer(inbound: Inbound) -> None:
        intake.publish([Outbound(queue=str(inbound.reply_to), body=b'"answer"')])
        intake.publish([Outbound(queue="ow_risk", body=b'"frame"')])
        inbound.settle()

    def bury(inbound: Inbound) -> None:
        worker.publish([Outbound(queue="ow_dead", body=inbound.body)])
        woken.take(inbound)

    consumers = [
        (broker_of(defined, "producer").consumer(["ow_reply_tmp_x"], on_unreadable=answers.refuse), answers.take),
        (broker_of(defined, "intake").consumer(["ow_orders"], on_unreadable=answers.refuse), answer),
        (broker_of(defined, "worker").consumer(WORK, on_unreadable=woken.refuse), bury),
        (broker_of(defined, "keeper").consumer(["ow_dead"], on_unreadable=kept.refuse, check=anything), kept.take),
    ]
    for consumer, on_message in consumers:
        consumer.start(on_message)
    producer.declare(["ow_orders", "ow_reply_tmp_x"])
    producer.publish([Outbound(queue="ow_orders", body=b'"order"', reply_to="ow_reply_tmp_x")])
    assert answers.has(1)
    assert woken.has(1)
    assert wait_until(lambda: b'"frame"' in kept.bodies(), timeout_s=PATIENCE_S)
    producer.drop("ow_reply_tmp_x")
    for consumer, _ in consumers:
        assert consumer.stop(PATIENCE_S)
    for publisher in (producer, intake, worker):
        publisher.close()


def test_a_role_without_the_right_to_make_queues_says_who_has_it(defined: RabbitNode) -> None:
    with (
        broker_of(defined, "worker").publisher() as publisher,
        pytest.raises(BrokerUnavailable, match="ow_missing is missing.*orderwright broker setup"),
    ):
        publisher.declare(["ow_missing"])


def test_a_broker_made_by_definitions_passes_the_check(defined: RabbitNode) -> None:
    found = checked(url_of(defined, "setup"))
    assert {one.state for one in found.values()} == {"ok"}
    assert "left to policies" in found["ow_risk"].why
    assert "arrived after" in found["dead letters"].why


def test_who_may_not_declare_is_told_what_was_not_looked_at(defined: RabbitNode) -> None:
    found = checked(url_of(defined, "doctor"))
    assert {one.state for one in found.values()} == {"ok"}
    assert "may not ask" in found["ow_risk"].why
    assert "may not make queues" in found["dead letters"].why


def test_setup_makes_the_queues_once_and_the_check_is_content(node: RabbitNode) -> None:
    url = vhost_of(node, "fresh")
    assert {one.state for what, one in checked(url).items() if what.startswith("ow_")} == {"fail"}
    with admin(url) as runtime:
        assert {new for _, new in runtime.broker_setup()} == {True}
        assert {new for _, new in runtime.broker_setup()} == {False}
    assert {one.state for one in checked(url).values()} == {"ok"}


def test_a_queue_of_another_kind_fails_the_check_and_the_way_out_is_named(node: RabbitNode, shop: Program) -> None:
    url = vhost_of(node, "odd")
    with Connection(url) as connection:
        connection.channel().queue_declare("ow_risk", durable=True, auto_delete=False)
    with admin(url) as runtime:
        runtime.broker_setup()
    ended = shop.call("broker", "check", "--json", ORDERWRIGHT_BROKER_URL=url)
    assert ended.code == 1
    (wrong,) = [one for one in ended.json() if one["state"] != "ok"]
    assert wrong["what"] == "ow_risk"
    assert "x-queue-type" in wrong["why"]
    assert "delete_queue ow_risk" in wrong["fix"]


def test_a_queue_that_is_shorter_than_ours_is_only_a_warning(node: RabbitNode) -> None:
    url = vhost_of(node, "short")
    connect(BrokerSettings(url=url, max_length=500)).declare([*WORK, "ow_orders"])
    found = checked(url)["ow_risk"]
    assert found.state == "warn"
    assert "x-max-length: '500', wanted '100000'" in found.why


def test_a_node_that_is_away_fails_the_check_while_another_one_answers(node: RabbitNode) -> None:
    url = vhost_of(node, "half")
    found = checked(f"{url};amqp://worker:secret@127.0.0.1:1/half")
    assert found["node 127.0.0.1:1"].state == "fail"
    assert found[f"node 127.0.0.1:{node.port}"].state == "ok"
    assert "secret" not in str(found)


def test_the_queues_in_the_database_are_set_up_and_checked_too(database: str) -> None:
    with Runtime(load({"database_url": database}, environment={})[0]) as runtime:
        assert {one.state for one in runtime.broker_check()} == {"fail"}
        runtime.broker_setup()
        assert {one.state for one in runtime.broker_check()} == {"ok"}


def test_a_broker_that_does_not_come_is_waited_for_and_given_up() -> None:
    with admin("amqp://worker:secret@127.0.0.1:1//") as runtime, pytest.raises(BrokerUnavailable) as away:
        runtime.broker_setup(wait_s=0.6)
    assert "secret" not in str(away.value)


@pytest.mark.parametrize("line", ["worker pass-word", "nobody pass-word-of-nobody", "worker"])
def test_a_bad_file_of_passwords_is_refused_and_not_repeated(tmp_path: Path, line: str) -> None:
    (tmp_path / "passwords").write_text(f"# role password\n{line}\n")
    with pytest.raises(Misconfigured, match="line 2") as refused:
        read_passwords(tmp_path / "passwords", {"worker"})
    assert "pass-word" not in str(refused.value)


def test_definitions_without_passwords_name_no_users() -> None:
    printed = Runtime.broker_definitions(vhost="/", nodes=5, max_length=500, passwords=None)
    assert printed["users"] == printed["permissions"] == []
    assert [one["definition"] for one in printed["policies"] if "'max-length': 500" not in str(one)] == []
    assert "'x-quorum-initial-group-size': 5" in str(printed["queues"])


def test_the_doctor_names_the_well_known_user_and_plain_transport() -> None:
    with admin("amqp://guest:guest@mq.example//") as runtime:
        found = {one.check: one for one in installation._wire(runtime)}
    assert found["broker transport"].state == found["broker user"].state == "warn"
    assert "mq.example" in found["broker transport"].why
    assert "definitions" in found["broker user"].fix
