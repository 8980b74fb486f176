"""The simulator as a process: durable, drained, refused when it cannot run, and told everything by its control door."""

import json
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest

from domain.errors import Transient
from domain.outside import LabelBought, PaymentAuthorized, PaymentCaptured
from infrastructure.gateways.http import http_world
from tests.contracts.gateways import authorization, capture, label
from tests.servers.simulator import ROOT, Simulator, await_that

DOUBTFUL = (
    *("error_before", "unavailable", "drop_before", "reset"),
    *("error_after", "drop_after", "garbage", "huge"),
)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "workers.simulator", *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_it_imports_nothing_of_ours() -> None:
    program = """
import sys, workers.simulator, workers.simulator.__main__
print([name for name in sys.modules if name.partition('.')[0] in ('domain', 'infrastructure')])
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"


def test_a_kill_loses_no_answered_capture(simulator: Simulator) -> None:
    answered: set[str] = set()
    with closing(http_world(simulator.url, threads=8, deadline_s=10)) as world:

        def work(thread: int) -> None:
            for number in range(10_000):
                order = f"o-{thread}-{number}"
                try:
                    permit = world.payments.authorize(authorization(order, amount=100))
                    assert isinstance(permit, PaymentAuthorized)
                    answer = world.payments.capture(capture(permit.reference, f"{order}:cap", 100))
                except Transient:
                    return
                assert isinstance(answer, PaymentCaptured)
                answered.add(f"{order}:cap")

        with ThreadPoolExecutor(8) as pool:
            futures = [pool.submit(work, thread) for thread in range(8)]
            await_that(lambda: len(answered) > 300)
            simulator.kill()
            for future in futures:
                future.result(30)
    simulator.restart()
    keys = [key for (key,) in simulator.rows("SELECT key FROM captures")]
    assert answered <= set(keys)
    assert len(keys) == len(set(keys))
    assert simulator.summary()["captured"]["EUR"] == 100 * len(keys)


def test_a_call_under_way_is_answered_before_it_stops(simulator: Simulator) -> None:
    simulator.behave(latency={"fixed_ms": 400})
    with closing(http_world(simulator.url, threads=1, deadline_s=10)) as world, ThreadPoolExecutor(1) as pool:
        answer = pool.submit(world.payments.authorize, authorization("o-1"))
        await_that(lambda: simulator.rows("SELECT 1 FROM authorizations") != [])
        assert simulator.stop() == 0
        assert isinstance(answer.result(10), PaymentAuthorized)


def test_a_second_simulator_on_the_same_ledger_is_refused_in_one_sentence(simulator: Simulator) -> None:
    done = run("--ledger", str(simulator.ledger))
    assert done.returncode == 1
    assert "another simulator is running" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_busy_port_is_refused_in_one_sentence(simulator: Simulator, tmp_path: Path) -> None:
    done = run("--ledger", str(tmp_path / "other.db"), "--port", str(simulator.port))
    assert done.returncode == 1
    assert "in use" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "config", ["{", "[]", '{"reject_share": 2}', '{"unknown": 1}', '{"faults": {"garbage": "yes"}}']
)
def test_a_wrong_config_is_refused_without_a_traceback(config: str, tmp_path: Path) -> None:
    done = run("--ledger", str(tmp_path / "ledger.db"), "--config", config)
    assert done.returncode == 2
    assert "--config" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_behavior_of_the_start_is_what_the_config_says(tmp_path: Path) -> None:
    simulator = Simulator(tmp_path, seed=3, hard_decline_share=0.25, latency={"fixed_ms": 2})
    try:
        assert simulator.rows("SELECT behaviour ->> 'hard_decline_share' FROM controls") == [(0.25,)]
    finally:
        simulator.kill()


def test_a_change_of_behavior_keeps_the_rest_and_is_noted_in_the_ledger(simulator: Simulator) -> None:
    simulator.behave(review_share=0.5)
    now = simulator.behave(transit_ms=7)
    assert (now["review_share"], now["transit_ms"]) == (0.5, 7)
    assert len(simulator.rows("SELECT 1 FROM controls")) == 3


@pytest.mark.parametrize("change", [{"reviewshare": 1}, {"review_share": "much"}, {"faults_of": {"bribe": {}}}])
def test_a_wrong_change_of_behavior_is_refused_and_changes_nothing(shared_simulator: Simulator, change: Any) -> None:
    with pytest.raises(HTTPError) as caught:
        shared_simulator.behave(**change)
    assert caught.value.code == 422
    caught.value.close()


def test_faults_may_strike_one_operation_only_and_are_counted(shared_simulator: Simulator) -> None:
    shared_simulator.behave(faults_of={"capture": {"error_before": 1.0}})
    with closing(http_world(shared_simulator.url, threads=1, deadline_s=10)) as world:
        permit = world.payments.authorize(authorization("counted"))
        assert isinstance(permit, PaymentAuthorized)
        with pytest.raises(Transient):
            world.payments.capture(capture(permit.reference, "counted:cap", 1))
    assert shared_simulator.summary()["faults"]["capture.error_before"] == 1


@pytest.mark.parametrize("fault", [*DOUBTFUL, "drip"])
def test_every_fault_leaves_the_caller_in_doubt_and_the_retry_settles_it(
    shared_simulator: Simulator, fault: str
) -> None:
    shared_simulator.behave(faults={fault: 1.0}, drip_interval_ms=50)
    with closing(http_world(shared_simulator.url, threads=1, deadline_s=1.0)) as world:
        for _ in range(2):
            with pytest.raises(Transient):
                world.payments.authorize(authorization(fault))
        shared_simulator.reset()
        assert isinstance(world.payments.authorize(authorization(fault)), PaymentAuthorized)
    assert shared_simulator.rows("SELECT count(*) FROM authorizations WHERE order_id = ?", fault) == [(1,)]
    assert shared_simulator.rows("SELECT attempts FROM requests WHERE key = ?", f"{fault}:auth:1") == [(3,)]


def test_a_gateway_may_name_another_amount_than_it_took(shared_simulator: Simulator) -> None:
    shared_simulator.behave(faults={"other_amount": 1.0})
    with closing(http_world(shared_simulator.url, threads=1, deadline_s=10)) as world:
        permit = world.payments.authorize(authorization("mistaken", amount=1000))
        assert isinstance(permit, PaymentAuthorized)
        assert permit.amount.amount == 1001
    assert shared_simulator.rows("SELECT amount FROM authorizations WHERE order_id = 'mistaken'") == [(1000,)]


def test_a_carrier_may_give_out_a_number_twice(simulator: Simulator) -> None:
    simulator.behave(same_tracking_share=1.0)
    with closing(http_world(simulator.url, threads=1, deadline_s=10)) as world:
        one, two = (world.carrier.buy_label(label(order_id)) for order_id in ("one", "two"))
        assert isinstance(one, LabelBought)
        assert isinstance(two, LabelBought)
        assert one.tracking == two.tracking
        assert world.carrier.inquire(label("two").key) == two
    assert simulator.rows("SELECT count(*) FROM labels") == [(1,)]


def test_the_books_tell_how_often_each_door_was_called_in_every_second(simulator: Simulator) -> None:
    simulator.behave(faults_of={"authorize": {"unavailable": 1.0}})
    with closing(http_world(simulator.url, threads=1, deadline_s=10)) as world:
        for _ in range(3):
            with pytest.raises(Transient):
                world.payments.authorize(authorization("rated"))
        world.payments.inquire("rated:auth:1")
    rates = simulator.rates()
    count = {
        name: (sum(row["calls"] for row in rates if row["operation"] == name)) for name in ("authorize", "inquire")
    }
    assert count == {"authorize": 3, "inquire": 1}
    assert sum(row["spoiled"] for row in rates) == 3
    assert all(row["second"] > 1_700_000_000 for row in rates)


def test_requests_sent_in_one_go_are_answered_in_order(shared_simulator: Simulator) -> None:
    shared_simulator.behave(latency_of={"inquire": {"fixed_ms": 30}})
    requests = b"GET /payments/operations/nobody HTTP/1.1\r\nhost: x\r\n\r\nGET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    answers = raw(shared_simulator, requests)
    assert answers.index(b"unknown_key") < answers.index(b'"ok"')


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET /" + b"x" * 40_000 + b" HTTP/1.1\r\n\r\n", b"400"),
        (b"POST /payments/voids HTTP/1.1\r\nhost: x\r\ncontent-length: 90000\r\n\r\n" + b"x" * 90_000, b"400"),
        (b"GET /nowhere HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", b"404"),
        (b"GET /payments/voids HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", b"405"),
        (b"DELETE /control HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", b"405"),
    ],
)
def test_a_strange_request_is_refused(shared_simulator: Simulator, request_: bytes, status: bytes) -> None:
    assert raw(shared_simulator, request_).split(b" ")[1] == status


VOID = {"authorization": "auth_1"}


@pytest.mark.parametrize(
    ("body", "headers", "status", "error"),
    [
        (VOID, {"idempotency-key": ""}, 400, "bad_key"),
        (VOID, {"idempotency-key": "a b"}, 400, "bad_key"),
        (VOID, {"content-type": "text/plain"}, 415, "not_json"),
        ("{", {}, 400, "invalid_json"),
        ("\ud800", {}, 400, "invalid_json"),
        ([VOID], {}, 422, "invalid"),
        ({}, {}, 422, "invalid"),
        ({**VOID, "more": 1}, {}, 422, "invalid"),
        ({"authorization": 7}, {}, 422, "invalid"),
        ({"authorization": "x" * 201}, {}, 422, "invalid"),
    ],
)
def test_a_wrong_body_is_told_what_is_wrong(
    shared_simulator: Simulator, body: Any, headers: dict[str, str], status: int, error: str
) -> None:
    data = body.encode("utf-8", "surrogatepass") if isinstance(body, str) else json.dumps(body).encode()
    fields = {"idempotency-key": "k", "content-type": "application/json", "content-length": str(len(data)), **headers}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    request = f"POST /payments/voids HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{head}\r\n".encode() + data
    answer_head, _, answer_body = raw(shared_simulator, request).partition(b"\r\n\r\n")
    assert int(answer_head.split(b" ")[1]) == status
    assert json.loads(answer_body)["error"] == error


def raw(simulator: Simulator, request: bytes) -> bytes:
    """What comes back until the simulator closes."""
    with socket.create_connection(("127.0.0.1", simulator.port), timeout=10) as sock:
        with suppress(ConnectionError):  # refused before it was all sent; the answer may be there all the same
            sock.sendall(request)
        return b"".join(iter(lambda: _receive(sock), b""))


def _receive(sock: socket.socket) -> bytes:
    try:
        return sock.recv(65_536)
    except ConnectionResetError:
        return b""
