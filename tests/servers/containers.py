"""PostgreSQL and RabbitMQ in containers, by testcontainers, and whether that can be done on this machine at all.

The engine is asked only where one may be: its socket is there, or DOCKER_HOST names it. Images are pulled beforehand and within a
deadline, so that a machine without a registry says so in a sentence instead of failing a thousand tests. Ports are on 127.0.0.1.
"""

import os
import secrets
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import amqp

from infrastructure.embedded.server import NOT_DURABLE
from infrastructure.embedded.waiting import wait_until
from tests.servers.ports import lasting_port
from tests.servers.postgres import PostgresServer
from tests.servers.rabbitmq import START_TIMEOUT_S

POSTGRES_IMAGE = os.environ.get("ORDERWRIGHT_TEST_POSTGRES_IMAGE", "postgres:17")
RABBITMQ_IMAGE = os.environ.get("ORDERWRIGHT_TEST_RABBITMQ_IMAGE", "rabbitmq:4")
SOCKETS = ("/var/run/docker.sock", "~/.docker/run/docker.sock")
ANSWER_S = 5
PULL_SILENCE_S = 60


class NoContainers(Exception):
    """Why the tests do not run with containers; a whole sentence without its end."""


def check_engine() -> None:
    """Return if an engine answers and has the images. Raises `NoContainers`."""
    if not (there := os.environ.get("DOCKER_HOST") or next(filter(_is_socket, SOCKETS), "")):
        raise NoContainers("no container engine is here")
    if there.startswith("unix://") and not _is_socket(there.removeprefix("unix://")):
        raise NoContainers("the container engine does not answer (its socket is gone)")
    import docker
    from docker.errors import DockerException
    from requests.exceptions import RequestException

    try:
        with closing(docker.from_env(timeout=ANSWER_S)) as client:
            client.ping()
        with closing(docker.from_env(timeout=PULL_SILENCE_S)) as client:
            for image in (POSTGRES_IMAGE, RABBITMQ_IMAGE):
                _have(client, image)
    except (DockerException, RequestException, OSError) as error:
        raise NoContainers(f"the container engine does not answer ({type(error).__name__})") from error


def _is_socket(path: str) -> bool:
    return Path(path).expanduser().is_socket()


def _have(client: Any, image: str) -> None:
    from docker.errors import APIError, ImageNotFound
    from requests.exceptions import RequestException

    try:
        client.images.get(image)
    except ImageNotFound:
        try:
            client.images.pull(*image.rsplit(":", 1))
        except (APIError, RequestException) as error:
            raise NoContainers(f"image {image} is neither here nor to be had") from error


def _prepared() -> None:
    """Without the image of its reaper, testcontainers cannot start anything; then we stop what we started ourselves."""
    import docker
    from docker.errors import DockerException
    from testcontainers.core.config import testcontainers_config

    try:
        with closing(docker.from_env(timeout=ANSWER_S)) as client:
            client.images.get(testcontainers_config.ryuk_image)
    except DockerException:
        testcontainers_config.ryuk_disabled = True


@contextmanager
def postgres_container() -> Iterator[PostgresServer]:
    """A server for a test process, fast rather than durable."""
    _prepared()
    from testcontainers.community.postgres import PostgresContainer

    container = PostgresContainer(
        POSTGRES_IMAGE, username="postgres", password=secrets.token_hex(12), dbname="orderwright", driver=None
    )
    options = {**NOT_DURABLE, "max_connections": "200"}
    container.with_command(
        ["postgres", *(word for name, value in options.items() for word in ("-c", f"{name}={value}"))]
    )
    with container:
        yield PostgresServer(container.get_connection_url(host=_host(container)))


class RabbitContainer:
    """One node; it can be stopped, killed, frozen and started again on the same data and the same port."""

    def __init__(self) -> None:
        _prepared()
        from testcontainers.core.container import DockerContainer

        self.port = lasting_port()
        self._password = secrets.token_hex(12)
        self._started = False
        self._container = DockerContainer(RABBITMQ_IMAGE, hostname="rabbitmq")
        self._container.with_bind_ports(5672, self.port)
        self._container.with_env("RABBITMQ_DEFAULT_USER", "orderwright")
        self._container.with_env("RABBITMQ_DEFAULT_PASS", self._password)

    @property
    def url(self) -> str:
        return f"amqp://orderwright:{self._password}@127.0.0.1:{self.port}//"

    def start(self) -> str:
        if self._started:
            self._engines().start()
        else:
            self._container.start()
            self._started = True
        if not wait_until(self._answers, timeout_s=START_TIMEOUT_S):
            said = b"".join(self._container.get_logs())[-2000:]
            self.remove()
            raise RuntimeError(f"RabbitMQ did not start:\n{said.decode(errors='replace')}")
        return self.url

    def kill(self) -> None:
        self._engines().kill()
        self._engines().wait(timeout=START_TIMEOUT_S)

    def freeze(self) -> None:
        self._engines().pause()

    def thaw(self) -> None:
        self._engines().unpause()

    def stop(self) -> None:
        self._engines().stop()

    def remove(self) -> None:
        """End it for good, whatever became of it."""
        if self._started:
            with suppress(Exception):  # it may be frozen or dead
                self._engines().unpause()
            self._container.stop()

    def _answers(self) -> bool:
        connection = amqp.Connection(
            host=f"127.0.0.1:{self.port}", userid="orderwright", password=self._password, connect_timeout=2
        )
        try:
            connection.connect()
        except (OSError, amqp.AMQPError):
            return False
        connection.close()
        return True

    def _engines(self) -> Any:
        return self._container.get_wrapped_container()


def _host(container: Any) -> str:
    """`localhost` may be another address than the one where the port is."""
    host = str(container.get_container_host_ip())
    return "127.0.0.1" if host == "localhost" else host
