"""The watchdog: every blocking wait on a socket ends, and no socket is touched after its work is done."""

import socket
import threading
from collections.abc import Iterator

import pytest

from infrastructure.deadline import Watchdog


@pytest.fixture
def watchdog() -> Watchdog:
    return Watchdog()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(60)
        theirs.settimeout(60)
        yield ours, theirs


Pair = tuple[socket.socket, socket.socket]


def test_a_blocked_read_ends_at_the_deadline(watchdog: Watchdog, pair: Pair) -> None:
    with watchdog.limit(pair[0], 0.05) as limit:
        assert pair[0].recv(1) == b""
    assert limit.expired


def test_a_blocked_write_ends_at_the_deadline(watchdog: Watchdog, pair: Pair) -> None:
    with watchdog.limit(pair[0], 0.05), pytest.raises(OSError):
        pair[0].sendall(b"x" * 100_000_000)


def test_a_file_descriptor_is_limited_as_well(watchdog: Watchdog, pair: Pair) -> None:
    with watchdog.limit(pair[0].fileno(), 0.05) as limit:
        assert pair[0].recv(1) == b""
    assert limit.expired


def test_work_done_in_time_leaves_the_socket_alone(watchdog: Watchdog, pair: Pair) -> None:
    with watchdog.limit(pair[0], 0.05) as limit:
        pass
    other, their_other = socket.socketpair()
    with other, their_other, watchdog.limit(other, 0.1):  # this one ends after the first would have
        assert other.recv(1) == b""
    assert not limit.expired
    pair[1].send(b"y")
    assert pair[0].recv(1) == b"y"


def test_a_socket_that_comes_later_is_limited_too(watchdog: Watchdog, pair: Pair) -> None:
    with watchdog.limit(None, 0.05) as limit:
        limit.watch(pair[0])
        assert pair[0].recv(1) == b""


def test_a_socket_that_comes_too_late_is_shut_at_once(watchdog: Watchdog, pair: Pair) -> None:
    other, their_other = socket.socketpair()
    with other, their_other, watchdog.limit(other, 0.0) as limit:
        assert other.recv(1) == b""
        limit.watch(pair[0])
        assert pair[0].recv(1) == b""


def test_an_earlier_deadline_is_kept_though_a_later_one_waits(watchdog: Watchdog, pair: Pair) -> None:
    with watchdog.limit(pair[1], 600) as long, watchdog.limit(pair[0], 0.05) as short:
        assert pair[0].recv(1) == b""
        assert short.expired
        assert not long.expired


def test_finished_limits_do_not_pile_up(watchdog: Watchdog, pair: Pair) -> None:
    for _ in range(10_000):
        with watchdog.limit(pair[0], 600):
            pass
    assert len(watchdog._heap) < 3000


def test_many_threads_share_one_watchdog(watchdog: Watchdog) -> None:
    pairs = [socket.socketpair() for _ in range(50)]
    expired = []

    def work(sock: socket.socket) -> None:
        with watchdog.limit(sock, 0.05) as limit:
            sock.recv(1)
        expired.append(limit.expired)

    threads = [threading.Thread(target=work, args=(ours,)) for ours, _ in pairs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    for ours, theirs in pairs:
        ours.close()
        theirs.close()
    assert expired == [True] * 50
