"""The client: members that fail, those that hang, those that are not what they say; identity; words of the gateway."""

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from domain.errors import Misconfigured, StoreUnavailable
from infrastructure.etcd.address import Access, Endpoint, access, read_url
from infrastructure.etcd.client import Etcd
from infrastructure.etcd.wire import absent, put, read, text
from tests.conftest import REQUIRE_ETCD
from tests.infrastructure.etcd.conftest import Connect
from tests.servers.certificates import find_openssl
from tests.servers.etcd import EtcdCluster, find_etcd
from tests.servers.ports import lasting_port

ROOT = Path(__file__).parents[3]


def test_a_url_names_the_members() -> None:
    endpoints, tls = read_url("etcds://one:2001,two,[::1]:2003/")
    assert tls is True
    assert [str(one) for one in endpoints] == ["one:2001", "two:2379", "[::1]:2003"]


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("http://one:2379", "must begin with etcd:// or etcds://"),
        ("etcd://", "is not of the form"),
        ("etcd://one:port", "is not of the form"),
        ("etcd://one:2379/path", "is not of the form"),
        ("etcd://one,,two", "is not of the form"),
        ("etcd://one:2379,one:2379", "names a member twice"),
        ("etcd://me:hunter2@one:2379", "no user here"),
    ],
)
def test_a_url_that_leads_nowhere_is_refused_without_repeating_it(url: str, problem: str) -> None:
    with pytest.raises(Misconfigured, match=problem) as refused:
        read_url(url)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"url": "etcd://one", "ca": Path("ca.pem")}, "begins with etcds://"),
        ({"url": "etcds://one", "cert": Path("cert.pem")}, "etcd_cert and etcd_key belong together"),
        ({"url": "etcd://one", "user": "me"}, "etcd_user and etcd_password belong together"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(given: dict[str, Any], problem: str) -> None:
    with pytest.raises(Misconfigured, match=problem):
        access(**given)


def test_files_that_cannot_be_read_are_known_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="etcd_ca, etcd_cert or etcd_key cannot be used: No such file"):
        Etcd(access("etcds://one", ca=tmp_path / "none.pem"))


def test_without_its_package_etcd_is_a_matter_of_installation() -> None:
    code = (
        "import sys; sys.modules['urllib3'] = None\n"
        "from infrastructure.etcd.opening import connect; from infrastructure.etcd.address import access\n"
        "connect(access('etcd://one'))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert "Misconfigured: coordination_url needs urllib3: pip install 'orderwright[etcd]'" in done.stderr


def test_nothing_of_etcd_is_loaded_unless_it_is_wanted() -> None:
    code = (
        "import sys\nimport workers.bootstrap\n"
        "from workers.bootstrap.coordination import lease_table, settings_store\n"
        "from infrastructure.settings import Settings\nfrom contextlib import ExitStack\n"
        "lease_table(Settings(), 'host=nowhere', ExitStack()); settings_store(Settings(), 'host=nowhere')\n"
        "print([name for name in sys.modules if 'etcd' in name or name == 'urllib3'])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


class _Stub(BaseHTTPRequestHandler):
    """Answers whatever its server was told to."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        status, body = self.server.answer  # type: ignore[attr-defined]
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Nothing."""


@pytest.fixture
def stub() -> Iterator[HTTPServer]:
    with HTTPServer(("127.0.0.1", 0), _Stub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def client_of(*ports: int, deadline_s: float = 0.5) -> Etcd:
    return Etcd(Access(endpoints=tuple(Endpoint(host="127.0.0.1", port=port) for port in ports)), deadline_s=deadline_s)


@pytest.mark.parametrize(
    ("status", "body", "error", "words"),
    [
        (200, b"<html>", StoreUnavailable, "answers no JSON"),
        (200, b"[]", StoreUnavailable, "answers no object"),
        (404, b"404 page not found", StoreUnavailable, "answers no JSON"),
        (503, b'{"code":14,"message":"etcdserver: no leader"}', StoreUnavailable, "no leader"),
        (
            500,
            b'{"code":2,"message":"etcdserver: mvcc: broken"}',
            StoreUnavailable,
            "refused: etcdserver: mvcc: broken",
        ),
        (
            403,
            b'{"code":7,"message":"etcdserver: permission denied"}',
            Misconfigured,
            "etcd_user: etcdserver: permission",
        ),
        (400, b'{"code":3,"message":"etcdserver: user name is empty"}', Misconfigured, "etcd_user: .*name is empty"),
        (
            401,
            b'{"code":16,"message":"etcdserver: invalid auth token"}',
            StoreUnavailable,
            "forgets at once who we are",
        ),
    ],
)
def test_what_a_member_says_is_told_in_our_words(
    stub: HTTPServer, status: int, body: bytes, error: type[Exception], words: str
) -> None:
    stub.answer = status, body  # type: ignore[attr-defined]
    with closing(client_of(stub.server_port)) as client, pytest.raises(error, match=words):
        client.get("key")


def test_a_cluster_that_is_not_there_is_told_with_all_its_members() -> None:
    one, two = lasting_port(), lasting_port()
    with closing(client_of(one, two)) as client, pytest.raises(StoreUnavailable) as away:
        client.get("key")
    assert str(away.value).startswith("etcd did not answer within 0.5 s (")
    assert f"127.0.0.1:{one}: NewConnectionError" in str(away.value)
    assert f"127.0.0.1:{two}: NewConnectionError" in str(away.value)


def test_a_member_that_hangs_costs_one_try_only(etcd: EtcdCluster) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        ports = [silent.getsockname()[1], *(one.port for one in etcd.members)]
        with closing(client_of(*ports, deadline_s=10.0)) as client:
            client._transport._preferred = 0
            began = time.monotonic()
            assert client.get("key").kept == []
            assert time.monotonic() - began < 5.0
            assert client._transport._preferred == 1, "and is not asked first again"


def test_the_gateway_says_nothing_of_what_is_zero_or_false(client: Etcd) -> None:
    key = client.key("a")
    assert client.transact([absent(key)], [put(key, b"\0\xff")]).held is True
    second = client.transact([absent(key)], [], [read(key)])
    assert second.held is False
    [kept] = second.kept
    assert (kept.key, kept.value, kept.lease, kept.created, kept.changed) == (
        key,
        b"\0\xff",
        0,
        kept.changed,
        kept.created,
    )
    assert kept.created == second.revision


def test_keys_are_found_below_a_prefix_and_nowhere_else(client: Etcd) -> None:
    for name in ("a/1", "a/2", "a/3", "a0", "b"):
        client.transact([], [put(client.key(name), b"")])
    found = client.below(client.key("a/"))
    assert [kept.key for kept in found.kept] == [client.key("a", str(number)) for number in (1, 2, 3)]
    newest = client.below(client.key("a/"), limit=1, newest_before=client.key("a/3"))
    assert [kept.key for kept in newest.kept] == [client.key("a/2")]


def test_a_watch_tells_of_changes_and_ends_with_its_member(etcd: EtcdCluster, connect: Connect) -> None:
    follower = etcd.followers()[0]
    client, far = connect(), connect(url=f"etcd://{follower.address}")
    key = client.key("a")
    before = client.transact([], [put(key, b"")]).revision
    changes = far.changes(key, before, silence_s=10.0)
    revision = client.transact([], [put(key, b"")]).revision
    assert next(changes) == revision
    follower.kill()
    assert list(changes) == []


def test_a_watch_from_before_a_compaction_ends_at_once(client: Etcd) -> None:
    key = client.key("a")
    revision = client.transact([], [put(key, b"")]).revision
    newest = client.transact([], [put(key, b"")]).revision
    client._call("/v3/kv/compaction", {"revision": str(newest)})
    assert list(client.changes(key, revision - 1, silence_s=10.0)) == []


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdCluster]:
    """A cluster of one that wants certificates from its clients."""
    if find_etcd() is None or find_openssl() is None:
        pytest.skip(f"etcd or openssl is not installed ({REQUIRE_ETCD}=1 fails elsewhere)")
    cluster = EtcdCluster(tmp_path_factory.mktemp("guarded"), tls=True, size=1)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


def of(cluster: EtcdCluster, **changes: Any) -> Etcd:
    cert, key = cluster.client()
    return Etcd(access(cluster.url, **{"ca": cluster.ca, "cert": cert, "key": key, **changes}), deadline_s=1.5)


def test_who_shows_its_certificate_is_served(guarded: EtcdCluster) -> None:
    with closing(of(guarded)) as client:
        assert client.transact([], [put(client.key("a"), b"x")]).held is True


def test_who_shows_no_certificate_is_not_served(guarded: EtcdCluster) -> None:
    with closing(of(guarded, cert=None, key=None)) as client, pytest.raises(StoreUnavailable):
        client.get("a")


def test_who_shows_the_certificate_of_another_authority_is_not_served(guarded: EtcdCluster) -> None:
    assert guarded.certificates is not None
    cert, key = guarded.certificates.impostor().client("orderwright")
    with closing(of(guarded, cert=cert, key=key)) as client, pytest.raises(StoreUnavailable):
        client.get("a")


def test_a_server_whose_certificate_nobody_vouches_for_is_told_nothing(guarded: EtcdCluster) -> None:
    assert guarded.certificates is not None
    stranger = guarded.certificates.impostor().ca
    with closing(of(guarded, ca=stranger)) as client, pytest.raises(Misconfigured, match="not those of etcd_ca"):
        client.get("a")


USERS: list[tuple[str, dict[str, Any]]] = [
    ("user/add", {"name": "root", "password": "hunter1"}),
    ("user/grant", {"user": "root", "role": "root"}),
    ("user/add", {"name": "orderwright", "password": "hunter2"}),
    ("role/add", {"name": "ours"}),
    ("role/grant", {"name": "ours", "perm": {"permType": "READWRITE", "key": text("our/"), "range_end": text("our0")}}),
    ("user/grant", {"user": "orderwright", "role": "ours"}),
    ("enable", {}),
]


@pytest.fixture
def with_users(guarded: EtcdCluster) -> Iterator[EtcdCluster]:
    for path, body in USERS:
        guarded.ask(guarded.members[0], f"/v3/auth/{path}", body)
    yield guarded
    guarded.wipe()


def test_where_there_are_users_one_has_a_password_and_a_certificate_without_a_name(with_users: EtcdCluster) -> None:
    assert with_users.certificates is not None
    cert, key = with_users.certificates.nameless_client()
    ours = {"cert": cert, "key": key, "prefix": "our"}
    with closing(of(with_users, **ours, user="orderwright", password="hunter2")) as client:
        assert client.transact([], [put(client.key("a"), b"x")]).held is True
        with pytest.raises(Misconfigured, match="permission denied"):
            client.get("theirs/a")
        client._transport._token = "forgotten"
        assert len(client.get(client.key("a")).kept) == 1
    with closing(of(with_users, **ours, user="orderwright", password="wrong")) as client:
        with pytest.raises(Misconfigured, match="authentication failed") as refused:
            client.get(client.key("a"))
        assert "wrong" not in str(refused.value)
    with closing(of(with_users, **ours)) as client, pytest.raises(Misconfigured, match="says no to etcd_user"):
        client.get(client.key("a"))
    with closing(of(with_users, prefix="our")) as client, pytest.raises(Misconfigured, match="without a common name"):
        client.get(client.key("a"))


def test_what_is_sent_is_json_with_base64(stub: HTTPServer) -> None:
    stub.answer = 200, json.dumps({"header": {"revision": "7"}, "kvs": [{"key": "YQ==", "value": "Yg=="}]}).encode()  # type: ignore[attr-defined]
    with closing(client_of(stub.server_port)) as client:
        found = client.get("a")
    assert (found.revision, found.kept[0].key, found.kept[0].value) == (7, "a", b"b")
