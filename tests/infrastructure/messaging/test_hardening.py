"""What kombu may no longer do in this process, and the threads' alarm clock."""

import select
import threading

import kombu.compression
import kombu.serialization
import pytest

from infrastructure.messaging.hardening import harden_kombu
from infrastructure.messaging.waker import Waker


@pytest.mark.parametrize("name", ["gzip", "application/x-gzip", "bzip2", "lzma", "zstd"])
def test_nothing_is_decompressed(name: str) -> None:
    with pytest.raises(KeyError):
        kombu.compression.decompress(b"", name)


@pytest.mark.parametrize("name", ["pickle", "yaml", "msgpack"])
def test_serializers_that_run_what_they_read_are_gone(name: str) -> None:
    with pytest.raises(kombu.serialization.SerializerNotInstalled):
        kombu.serialization.dumps({}, serializer=name)


@pytest.mark.parametrize(
    "content_type", ["application/x-python-serialize", "application/x-yaml", "application/x-msgpack"]
)
def test_their_content_types_are_refused(content_type: str) -> None:
    with pytest.raises(kombu.serialization.ContentDisallowed):
        kombu.serialization.loads(b"", content_type, "binary", accept={"json"})


def test_hardening_twice_is_hardening() -> None:
    harden_kombu()
    harden_kombu()
    assert kombu.serialization.dumps({}, serializer="json")[2] == "{}"


def test_a_waker_ends_a_wait_once_for_any_number_of_calls() -> None:
    waker = Waker()
    threads = [threading.Thread(target=waker.wake) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert select.select([waker.fileno()], [], [], 5.0)[0]
    waker.clear()
    assert not select.select([waker.fileno()], [], [], 0.0)[0]
    waker.wake()
    assert select.select([waker.fileno()], [], [], 5.0)[0]
    waker.close()


def test_a_closed_waker_is_deaf() -> None:
    waker = Waker()
    waker.close()
    waker.wake()
