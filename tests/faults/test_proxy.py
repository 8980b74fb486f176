"""The proxy does what it says: otherwise every row of the fault matrix behind it proves nothing."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.faults.proxy import Proxy
from tests.servers.simulator import await_that


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    """Before a server that sends back whatever it gets."""
    server = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=_serve, args=(server,), daemon=True).start()
    with Proxy("127.0.0.1", server.getsockname()[1]) as proxy:
        yield proxy
    server.close()


def _serve(server: socket.socket) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        threading.Thread(target=_echo, args=(connection,), daemon=True).start()


def _echo(connection: socket.socket) -> None:
    with connection:
        try:
            while data := connection.recv(65536):
                connection.sendall(data)
        except OSError:
            return


@pytest.fixture
def client(proxy: Proxy) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as connection:
        yield connection


def says(client: socket.socket, data: bytes = b"hello") -> bytes:
    client.sendall(data)
    return receive(client, len(data))


def receive(client: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size and (some := client.recv(size - len(data))):
        data += some
    return data


def hears_nothing(client: socket.socket, within_s: float = 0.2) -> bool:
    client.settimeout(within_s)
    try:
        return not client.recv(1) and False
    except TimeoutError:
        return True
    finally:
        client.settimeout(5)


def is_reset(client: socket.socket) -> bool:
    try:
        while client.recv(65536):
            pass
    except ConnectionResetError:
        return True
    return False


def is_refused(proxy: Proxy) -> bool:
    """The reset may come before we know that we are connected."""
    try:
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as late:
            return is_reset(late)
    except ConnectionResetError:
        return True


def test_it_passes_what_it_gets(client: socket.socket) -> None:
    assert says(client) == b"hello"
    assert says(client, bytes(100_000)) == bytes(100_000)


def test_a_blackhole_holds_everything_and_gives_it_back_later(proxy: Proxy, client: socket.socket) -> None:
    proxy.blackhole()
    client.sendall(b"hello")
    assert hears_nothing(client)
    proxy.heal()
    assert receive(client, 5) == b"hello"


def test_a_blackhole_lets_nobody_in(proxy: Proxy) -> None:
    proxy.blackhole()
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as late:
        late.sendall(b"hello")
        assert hears_nothing(late)
        proxy.heal()
        assert receive(late, 5) == b"hello"


def test_one_way_loses_answers_and_the_connection_ends_when_it_heals(proxy: Proxy, client: socket.socket) -> None:
    assert says(client) == b"hello"
    proxy.one_way()
    client.sendall(b"hello")
    assert hears_nothing(client)
    proxy.heal()
    assert is_reset(client)


def test_a_reset_is_read_as_one_and_newcomers_are_served(proxy: Proxy, client: socket.socket) -> None:
    assert says(client) == b"hello"
    assert proxy.reset() == 1
    assert is_reset(client)
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as late:
        assert says(late) == b"hello"


def test_who_is_refused_is_reset_until_it_heals(proxy: Proxy) -> None:
    proxy.refuse()
    assert is_refused(proxy)
    proxy.heal()
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as later:
        assert says(later) == b"hello"


def test_half_a_close_ends_the_answers_only(proxy: Proxy, client: socket.socket) -> None:
    assert says(client) == b"hello"
    proxy.half_close()
    assert client.recv(1) == b""
    client.sendall(b"still writing")


def test_it_cuts_within_an_answer(proxy: Proxy, client: socket.socket) -> None:
    proxy.cut_after(3)
    client.sendall(b"hello")
    assert receive(client, 3) == b"hel"
    assert is_reset(client)
    assert proxy.cut == 1


@pytest.mark.parametrize("slow", ["delay", "throttle"])
def test_it_slows_down(proxy: Proxy, client: socket.socket, slow: str) -> None:
    if slow == "delay":
        proxy.delay(0.1)
    else:
        proxy.throttle(100)
    started = time.monotonic()
    assert says(client, bytes(20)) == bytes(20)
    assert time.monotonic() - started >= 0.15


def test_a_client_that_leaves_is_forgotten(proxy: Proxy, client: socket.socket) -> None:
    assert says(client) == b"hello"
    client.close()
    await_that(lambda: not proxy._pairs, within_s=5)
