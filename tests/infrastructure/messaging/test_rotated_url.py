"""A broker's URL from a file: what the file says counts from the next connection on, so a password is changed without a restart."""

import random
import re
from pathlib import Path
from urllib.parse import urlencode

import pytest
from psycopg.conninfo import conninfo_to_dict

from domain.errors import BrokerUnavailable
from domain.messaging import Outbound
from infrastructure.embedded.waiting import wait_until
from infrastructure.messaging.broker import connect
from infrastructure.messaging.settings import BrokerSettings
from infrastructure.secret_files import FileText
from tests.contracts.inbox import PATIENCE_S, Inbox


def pgmq_url(dsn: str, **changes: str) -> str:
    return "pgmq://?" + urlencode({**conninfo_to_dict(dsn), **changes})


def check_rotation(path: Path, before: str, after: str) -> None:
    """Refused with what the file says first; the same publisher and the same consumer get in with what it says later."""
    path.write_text(before)
    broker = connect(BrokerSettings(url=FileText.read(path)))
    queue, inbox = f"ow_test_{random.randrange(10**9)}", Inbox()
    consumer = broker.consumer([queue], on_unreadable=inbox.refuse)
    with broker.publisher() as publisher:
        consumer.start(inbox.take)
        with pytest.raises(BrokerUnavailable):
            publisher.publish([Outbound(queue=queue, body=b"1")])
        path.write_text(after)
        publisher.publish([Outbound(queue=queue, body=b"2")])
        assert wait_until(lambda: inbox.bodies() == [b"2"], timeout_s=PATIENCE_S)
        assert consumer.stop(PATIENCE_S)
        publisher.drop(queue)


def test_a_changed_password_of_rabbitmq_is_used_from_the_next_connection_on(rabbitmq: str, tmp_path: Path) -> None:
    check_rotation(tmp_path / "broker", re.sub(r":[^:@/]+@", ":retired@", rabbitmq), rabbitmq)


def test_so_is_a_changed_url_of_the_queues_in_a_database(module_database: str, tmp_path: Path) -> None:
    check_rotation(tmp_path / "broker", pgmq_url(module_database, dbname="nowhere"), pgmq_url(module_database))


@pytest.mark.parametrize(
    ("before", "unfit"),
    [("amqps://u:old@mq:5671/v", "amqp://u:new@mq:5672/v"), ("pgmq://u:old@db/q", "pgmq://u:n%zzew@db/q")],
)
def test_a_file_that_names_another_kind_of_broker_or_nothing_readable_is_no_news(
    tmp_path: Path, before: str, unfit: str
) -> None:
    path = tmp_path / "broker"
    path.write_text(before)
    settings = BrokerSettings(url=FileText.read(path))
    path.write_text(unfit)
    assert settings.current_url == before
