"""The messaging contract inside one process."""

import random

import pytest

from domain.messaging import Outbound
from infrastructure.messaging.broker import Broker, connect
from infrastructure.messaging.settings import BrokerSettings
from tests.contracts.broker import BrokerContract


class TestMemoryBroker(BrokerContract):
    @pytest.fixture
    def broker(self) -> Broker:
        return connect(BrokerSettings(url=f"memory:///{random.randrange(10**9)}"))

    def delete_queue(self, broker: Broker, queue: str) -> None:
        wire = broker._wire(consuming=False)
        wire.open()
        wire.channel.house.queues.pop(queue)
        wire.close()

    def test_name_spaces_share_nothing(self, broker: Broker, queue: str) -> None:
        with broker.publisher() as here, connect(BrokerSettings(url="memory:///elsewhere")).publisher() as elsewhere:
            here.publish([Outbound(queue=queue, body=b"1")])
            assert (here.depth(queue), elsewhere.depth(queue)) == (1, None)
