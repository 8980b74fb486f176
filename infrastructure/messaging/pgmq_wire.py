"""`pgmq://`: the queues are tables in the same Postgres, so one machine needs no other service."""

from collections.abc import Sequence

import psycopg
from kombu.message import Message

from domain.errors import BrokerUnavailable
from domain.messaging import Outbound
from infrastructure.messaging.pgmq_transport import Transport
from infrastructure.messaging.untyped import Untyped
from infrastructure.messaging.virtual import PromptWire


class PgmqWire(PromptWire):
    transport_class = Transport

    @property
    def url(self) -> str:
        return "pgmq://"  # the transport takes the DSN from the settings, whole

    def options(self) -> dict[str, Untyped]:
        return {
            "settings": self.settings,
            "consuming": self.consuming,
            "visibility_timeout": self.settings.visibility_timeout_s,
        }

    def declare_one(self, queue: str) -> None:
        try:
            super().declare_one(queue)
        except (psycopg.errors.InvalidSchemaName, psycopg.errors.UndefinedFunction):
            raise BrokerUnavailable("PGMQ is not installed in this database: run `orderwright migrate`") from None

    def depth(self, queue: str) -> int | None:
        try:
            return int(self.channel._size(queue))  # noqa: SLF001 - kombu's name for it
        except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
            return None

    def drop_one(self, queue: str) -> None:
        self.channel.drop(queue)

    def tidy(self) -> int:
        return int(self.channel.tidy(self.settings.replies_expire_s))

    def transmit(self, messages: Sequence[Outbound]) -> Sequence[Outbound]:
        for message in messages:
            self.put(message)
        try:
            self.channel.flush()
        except psycopg.errors.UndefinedTable:  # of one queue, but the whole batch was rolled back
            return messages
        return []

    def acknowledge(self, messages: Sequence[Message]) -> None:
        self.channel.acknowledge(messages)

    def deliveries(self, message: Message) -> int:
        return int(message.delivery_info["read_ct"])

    def fileno(self) -> int:
        return int(self.transport.link.fileno())

    def on_readable(self) -> None:
        self.transport.link.collect_notifies(from_socket=True)

    def close(self) -> None:
        try:
            if self.consuming and self.channel is not None:
                self.channel.give_back_all()
        except psycopg.Error:  # they come again after the visibility timeout
            pass
        finally:
            self.collect()

    def cut(self) -> None:
        transport = self.transport
        if transport is not None:
            transport.link.cut()
