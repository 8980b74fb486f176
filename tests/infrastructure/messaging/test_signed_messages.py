"""The signing contract on every broker."""

import random

import pytest

from infrastructure.messaging.broker import Broker, connect
from infrastructure.messaging.settings import BrokerSettings
from tests.contracts.signing import SigningContract


@pytest.fixture
def queue() -> str:
    return f"ow_test_{random.randrange(10**9)}"


class TestOnRabbitMQ(SigningContract):
    @pytest.fixture
    def broker(self, rabbitmq: str) -> Broker:
        return connect(BrokerSettings(url=rabbitmq, confirm_timeout_s=10.0, io_timeout_s=10.0))


class TestOnPgmq(SigningContract):
    @pytest.fixture
    def broker(self, module_database: str) -> Broker:
        return connect(BrokerSettings(url="pgmq://", dsn=module_database, confirm_timeout_s=10.0, io_timeout_s=10.0))


class TestInMemory(SigningContract):
    @pytest.fixture
    def broker(self, queue: str) -> Broker:
        return connect(BrokerSettings(url=f"memory:///{queue}"))
