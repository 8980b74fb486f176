"""Who talks to etcd on another machine in the open is told so; on this machine, and with TLS, nothing is said."""

import pytest
from structlog.testing import capture_logs

from infrastructure import plain
from infrastructure.etcd.address import access
from infrastructure.etcd.opening import connect


@pytest.mark.parametrize(
    ("url", "warned"),
    [
        ("etcd://10.0.0.7:2379", True),
        ("etcd://127.0.0.1:2379,elsewhere.example:2379", True),
        ("etcd://127.0.0.1:2379,localhost:2380", False),
        ("etcds://10.0.0.7:2379", False),
    ],
)
def test_etcd_on_another_machine_without_tls_is_warned_of(url: str, warned: bool) -> None:
    plain._warn.cache_clear()
    with capture_logs() as logs:
        connect(access(url)).close()
    assert [entry["setting"] for entry in logs] == (["coordination_url"] if warned else [])
