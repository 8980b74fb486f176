"""RabbitMQ: quorum queues, mandatory publishes, confirms for a whole batch at a time.

py-amqp's own `confirm_publish` costs a round trip a message and takes any acknowledgement for the awaited one. Here a batch is sent
whole and then every delivery tag must be confirmed; after a timeout the connection is worthless, because late confirmations of
old tags may still arrive on it.
"""

import select
import socket
import ssl
from collections.abc import Sequence
from time import monotonic

import amqp
from kombu.transport import pyamqp

from domain.errors import BrokerUnavailable
from domain.messaging import Outbound
from infrastructure.messaging.amqp_frames import tolerant_frames, whole_size
from infrastructure.messaging.nodes import has_failed, in_order
from infrastructure.messaging.settings import BrokerSettings
from infrastructure.messaging.tls import said_clearly, tls_options
from infrastructure.messaging.topology import queue_arguments
from infrastructure.messaging.untyped import Untyped
from infrastructure.messaging.wire import OnMessage, Silent, Wire


class Channel(pyamqp.Channel):
    """py-amqp decodes bodies by the codec that the sender names (punycode of 32 MB takes hours): never."""

    def __init__(self, *args: Untyped, **kwargs: Untyped) -> None:
        super().__init__(*args, **kwargs, auto_decode=False)


class Connection(pyamqp.Connection):
    Channel = Channel


class Transport(pyamqp.Transport):
    """Remembers the connection while it is being made, so that it can be cut then too."""

    latest: Untyped = None

    def Connection(self, **options: Untyped) -> Untyped:  # type: ignore[override]  # noqa: N802 - kombu's name
        self.latest = Connection(**options)
        return self.latest


class Confirms:
    """Which messages the broker has not answered for yet, and which it did not take."""

    def __init__(self, channel: Untyped) -> None:
        self._last_tag = 0
        self._open: dict[int, Outbound] = {}
        self._refused: list[Outbound] = []
        self._homeless: set[str] = set()
        channel.events["basic_ack"].add(self._on_ack)
        channel.events["basic_nack"].add(self._on_nack)
        channel.events["basic_return"].add(self._on_return)
        channel.confirm_select()

    def expect(self, message: Outbound) -> None:
        self._last_tag += 1
        self._open[self._last_tag] = message

    @property
    def missing(self) -> int:
        return len(self._open)

    def not_taken(self, messages: Sequence[Outbound]) -> list[Outbound]:
        """Of these, the last batch. Starts the next one."""
        refused, self._refused = self._refused, []
        homeless, self._homeless = self._homeless, set()
        return [*(message for message in messages if message.queue in homeless), *refused]

    def _answered(self, tag: int, multiple: bool) -> list[Outbound]:  # noqa: FBT001 - py-amqp passes it so
        tags = [old for old in self._open if old <= tag] if multiple else [tag]
        return [self._open.pop(old) for old in tags if old in self._open]

    def _on_ack(self, tag: int, multiple: bool) -> None:  # noqa: FBT001
        self._answered(tag, multiple)

    def _on_nack(self, tag: int, multiple: bool) -> None:  # noqa: FBT001
        self._refused += self._answered(tag, multiple)

    def _on_return(self, _error: Exception, _exchange: str, routing_key: str, _message: Untyped) -> None:
        self._homeless.add(routing_key)


class AmqpWire(Wire):
    transport_class = Transport

    def __init__(self, settings: BrokerSettings, *, consuming: bool) -> None:
        super().__init__(settings, consuming=consuming)
        self._confirms: Confirms | None = None
        self._blocked = False
        self._was_cut = False
        self._node = settings.nodes[0]

    def options(self) -> dict[str, Untyped]:
        return {
            "read_timeout": self.settings.io_timeout_s,  # bounds the synchronous methods, which py-amqp waits for without end
            "write_timeout": self.settings.io_timeout_s,
            "socket_settings": {socket.TCP_USER_TIMEOUT: 15_000} if hasattr(socket, "TCP_USER_TIMEOUT") else {},
            "frame_handler": tolerant_frames,
            "on_blocked": self._on_blocked,
            "on_unblocked": self._on_unblocked,
            "client_properties": {"product": "orderwright"},
        }

    def connection_arguments(self, url: str) -> dict[str, Untyped]:
        return {"ssl": tls_options(self.settings, url)} if url.startswith("amqps://") else {}

    def open(self) -> None:
        """At the first node that answers. Those that do not are given up after a while, together after twice as long."""
        until = monotonic() + 2 * self.settings.connect_timeout_s
        nodes = in_order(self.settings.nodes)
        for self._node in nodes:
            try:
                self.open_at(self._node)
                break
            except Exception as error:
                self.blame()
                hopeless = self._was_cut or isinstance(error, amqp.exceptions.AccessRefused)
                if hopeless or self._node is nodes[-1] or monotonic() >= until:
                    if isinstance(error, ssl.SSLError):
                        raise said_clearly(error, self._node) from error
                    raise
                self.collect()

    def blame(self) -> None:
        has_failed(self._node)

    def _on_blocked(self, _reason: str) -> None:
        self._blocked = True

    def _on_unblocked(self) -> None:
        self._blocked = False

    # --- queues -------------------------------------------------------------------------------------------------------------------

    def declare_one(self, queue: str) -> None:
        """Look first: most users may not make queues, and an operator's own arguments stand."""
        if self.depth(queue) is None:
            channel = self.new_channel()  # a refusal costs the channel
            try:
                channel.queue_declare(
                    queue=queue, durable=True, auto_delete=False, arguments=queue_arguments(self.settings, queue)
                )
            except amqp.exceptions.AccessRefused:
                raise BrokerUnavailable(
                    f"{queue} is missing and this user may not make it: run `orderwright broker setup` as one who may"
                ) from None
            channel.close()

    @property
    def server_properties(self) -> dict[str, Untyped]:
        """What the node says about itself."""
        return dict(self._raw.server_properties)

    def depth(self, queue: str) -> int | None:
        channel = self.new_channel()  # asking for a queue that is not there costs the channel
        try:
            answer = channel.queue_declare(queue=queue, passive=True)
        except amqp.exceptions.NotFound:
            return None
        except amqp.exceptions.ResourceLocked:  # another connection's exclusive queue: it is there, and takes messages
            return 0
        channel.close()
        return int(answer.message_count)

    def drop_one(self, queue: str) -> None:
        channel = self.new_channel()
        channel.queue_delete(queue)
        channel.close()

    # --- sending ------------------------------------------------------------------------------------------------------------------

    def transmit(self, messages: Sequence[Outbound]) -> Sequence[Outbound]:
        confirms = self._confirms = self._confirms or Confirms(self.channel)
        for message in messages:
            confirms.expect(message)
            self.put(message)
        self._await(confirms)
        refused = confirms.not_taken(messages)
        if refused:
            self._renew_channel()
        return refused

    def _renew_channel(self) -> None:
        """A channel remembers what a queue's leader told it. If the leader dies at the wrong moment, it refuses for ever (seen on 3.10)."""
        old, self.channel, self._confirms = self.channel, self.new_channel(), None
        old.close()

    def _await(self, confirms: Confirms) -> None:
        deadline = monotonic() + self.settings.confirm_timeout_s
        while confirms.missing:
            left = deadline - monotonic()
            if left <= 0:
                why = ": the broker blocks publishers (memory or disk alarm)" if self._blocked else ""
                raise Silent(f"{confirms.missing} messages not confirmed in {self.settings.confirm_timeout_s:g} s{why}")
            self.transport.drain_events(self._raw, timeout=left)

    # --- receiving ----------------------------------------------------------------------------------------------------------------

    def fileno(self) -> int:
        return int(self._raw.transport.sock.fileno())

    def drain(self) -> bool:
        if not self._has_come():
            return False
        # With a timeout of 0 py-amqp would spin on a message that has come in half.
        self.transport.drain_events(self._raw, timeout=self.settings.io_timeout_s)
        return True

    def _has_come(self) -> bool:
        sock = self._raw.transport.sock
        if isinstance(sock, ssl.SSLSocket) and sock.pending():
            return True
        poll = select.poll()
        poll.register(sock, select.POLLIN)
        return bool(poll.poll(0))

    def widen(self, queue: str, prefetch: int, on_message: OnMessage) -> None:
        """A consumer's prefetch is fixed when it begins, and a cancel would send back what is on its way: so another one joins it."""
        if prefetch > 1:
            self._consumers[queue].append(self.consumer(queue, prefetch - 1, on_message))

    def size(self, message: Untyped) -> int:
        return whole_size(self._raw, message)

    def deliveries(self, message: Untyped) -> int:
        """A quorum queue counts failed deliveries in a header, which a sender may forge: it counts for nothing on a first delivery."""
        failed = message.headers.get("x-delivery-count")
        if not message.delivery_info.get("redelivered"):
            return 1
        return failed + 1 if isinstance(failed, int) and failed > 0 else 2

    def beat(self) -> None:
        self.transport.heartbeat_check(self._raw)

    # --- the end ------------------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        try:
            if self._raw is not None and self._raw.connected:
                self._raw.transport.sock.settimeout(1.0)
                self._raw.close()
        except Exception:  # noqa: BLE001, S110 - whatever it is, the connection ends in the next line
            pass
        self.collect()

    def collect(self) -> None:
        raw, self._raw = self._raw, None
        if raw is not None:
            raw.collect()
        self._client = None

    def cut(self) -> None:
        self._was_cut = True
        connection = self.transport.latest if self.transport is not None else None
        transport = getattr(connection, "_transport", None)
        sock = getattr(transport, "sock", None)
        if sock is not None:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:  # it has just ended by itself
                return
