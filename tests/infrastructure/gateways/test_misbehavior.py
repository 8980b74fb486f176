"""Every way in which a service may misbehave, played by a real socket, and what we make of it.

The question behind each test: may the service have acted? Only a complete, well-formed answer of the expected kind counts as one.
"""

import json
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager

import pytest

from domain.errors import Misconfigured, OutcomeUnknown, Poison, RateLimited, Transient, Unavailable
from domain.outside import Answer, PaymentDeclined, Refused
from infrastructure.gateways.channel import Channel
from infrastructure.gateways.http import HttpPaymentGateway, http_world
from tests.contracts.gateways import authorization, capture
from tests.infrastructure.gateways.hostile import HostileServer, Peer, answer, answering, hostile, playing

CAPTURED = json.dumps({"result": "captured", "reference": "cap_1", "amount": 500, "currency": "EUR"}).encode()
PROBLEM = json.dumps({"error": "invalid", "message": "no"}).encode()
CHUNKED = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
ENDLESS = answer(b"").replace(b"length: 0", b"length: 1000000000")
REQUEST = capture("auth_1", "o-1:cap:1", 500)

MAY_HAVE_ACTED = {
    "closes without an answer": answering(),
    "answers 500": answering(answer(PROBLEM, status="500 Internal Server Error")),
    "answers 502 in HTML": answering(answer(b"<html>", status="502 Bad Gateway", kind="text/html")),
    "answers 503 without Retry-After": answering(answer(PROBLEM, status="503 Service Unavailable")),
    "answers 503 with a senseless Retry-After": answering(
        answer(PROBLEM, status="503 Service Unavailable", more="retry-after: soon\r\n")
    ),
    "answers 200 in HTML": answering(answer(b"<html>Success!</html>", kind="text/html")),
    "answers JSON called HTML": answering(answer(CAPTURED, kind="text/html")),
    "answers in UTF-16": answering(answer(CAPTURED.decode().encode("utf-16"), kind="application/json; charset=utf-16")),
    "answers bytes that are no UTF-8": answering(answer(b'{"result": "captured", "reference": "\xff\xfe"}')),
    "answers compressed": answering(answer(CAPTURED, more="content-encoding: gzip\r\n")),
    "answers half a JSON": answering(answer(CAPTURED[:20])),
    "answers no body": answering(answer(b"")),
    "answers null": answering(answer(b"null")),
    "answers deeply nested JSON": answering(answer(b"[" * 100_000)),
    "answers success without an amount": answering(answer(b'{"result": "captured", "reference": "cap_1"}')),
    "answers an amount in text": answering(answer(CAPTURED.replace(b"500", b'"500"'))),
    "answers an amount with a fraction": answering(answer(CAPTURED.replace(b"500", b"500.0"))),
    "answers a result of another operation": answering(answer(b'{"result": "voided", "reference": "v"}')),
    "answers 201 to a capture": answering(answer(CAPTURED, status="201 Created")),
    "promises more body than it sends": answering(answer(CAPTURED)[:-1]),
    "breaks off in the head": answering(b"HTTP/1.1 200 OK\r\ncontent-ty"),
    "breaks off in a chunk": answering(CHUNKED, b"ff\r\n" + CAPTURED),
    "sends garbage as chunks": answering(CHUNKED, b"zz\r\n" + CAPTURED),
    "sends garbage instead of HTTP": answering(b"\x15\x03\x01\x00\x02\x02\x16"),
    "sends two different lengths": answering(answer(CAPTURED, more="content-length: 5\r\n")),
    "redirects": answering(answer(b"", status="302 Found", more="location: http://169.254.169.254/\r\n")),
    "answers 408": answering(answer(PROBLEM, status="408 Request Timeout")),
    "lets a proxy answer 404": answering(answer(b"<html>", status="404 Not Found", kind="text/html")),
    "promises an interim answer only": answering(b"HTTP/1.1 102 Processing\r\n\r\n"),
    "switches protocols": answering(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"),
    "promises 1 GB": answering(ENDLESS, b"x" * 2_000_000),
    "sends chunks without end": answering(CHUNKED, *[b"fa00\r\n" + b" " * 64_000 + b"\r\n"] * 40),
    "sends headers without end": answering(b"HTTP/1.1 200 OK\r\n", *[b"a: " + b"b" * 1000 + b"\r\n"] * 400),
    "sends one header without end": answering(b"HTTP/1.1 200 OK\r\na: ", *[b"b" * 1000] * 400),
    "resets the connection": playing(Peer.read_request, Peer.reset),
}

NEVER_ENDS = {
    "says nothing": playing(Peer.read_request, Peer.freeze),
    "does not even read": playing(Peer.freeze),
    "drips its head": playing(Peer.read_request, lambda peer: peer.drip(b"HTTP/1.1 200 OK\r\nx: ")),
    "drips its body": answering(ENDLESS, then=lambda peer: peer.drip(b" ")),
    "freezes in its body": answering(answer(CAPTURED)[:-5], then=Peer.freeze),
}


def call(server: HostileServer, deadline_s: float = 20.0) -> Answer:
    return call_url(server.url, deadline_s)


def call_url(url: str, deadline_s: float) -> Answer:
    with closing(http_world(url, threads=2, deadline_s=deadline_s)) as world:
        return world.call(REQUEST, inquire_first=False)


@contextmanager
def gateway(url: str) -> Iterator[HttpPaymentGateway]:
    with closing(Channel(url, threads=1, deadline_s=20)) as channel:
        yield HttpPaymentGateway(channel)


@pytest.mark.parametrize("how", MAY_HAVE_ACTED)
def test_the_outcome_is_unknown_when_the_service(how: str) -> None:
    with hostile(MAY_HAVE_ACTED[how]) as server, pytest.raises(OutcomeUnknown):
        call(server)


@pytest.mark.parametrize("how", NEVER_ENDS)
def test_the_deadline_holds_while_the_service(how: str) -> None:
    with hostile(NEVER_ENDS[how]) as server:
        with pytest.raises(OutcomeUnknown, match=r"within 0\.2 s"):
            call(server, deadline_s=0.2)
        assert not server.closing.is_set()  # nothing but the deadline ended the call


def test_a_well_formed_decline_is_an_answer_under_either_status() -> None:
    declined = b'{"result": "declined", "code": "insufficient_funds", "hard": false, "new_field": 1}'
    for status in ("402 Payment Required", "200 OK"):
        with hostile(answering(answer(declined, status=status))) as server, gateway(server.url) as payments:
            assert payments.authorize(authorization("o-1")) == PaymentDeclined(code="insufficient_funds", hard=False)


def test_a_well_formed_refusal_is_an_answer() -> None:
    with hostile(answering(answer(b'{"result": "refused", "code": "no"}', status="402 Payment Required"))) as server:
        assert call(server) == Refused(code="no")


@pytest.mark.parametrize("status", ["400 Bad Request", "409 Conflict", "422 Unprocessable Content", "404 Not Found"])
def test_a_wrong_request_is_poison(status: str) -> None:
    with hostile(answering(answer(PROBLEM, status=status))) as server, pytest.raises(Poison, match="invalid"):
        call(server)


def test_refused_credentials_are_not_the_fault_of_the_order() -> None:
    with hostile(answering(answer(PROBLEM, status="401 Unauthorized"))) as server, pytest.raises(Transient) as caught:
        call(server)
    assert type(caught.value) is Transient


@pytest.mark.parametrize("status", ["429 Too Many Requests", "503 Service Unavailable"])
def test_retry_after_is_heard(status: str) -> None:
    script = answering(answer(PROBLEM, status=status, more="Retry-After: 120\r\n"))
    with hostile(script) as server, pytest.raises(RateLimited) as caught:
        call(server)
    assert caught.value.retry_after_s == 120


def test_retry_after_may_be_a_date_and_is_bounded() -> None:
    date = "Fri, 31 Dec 2100 23:59:59 GMT"
    script = answering(answer(PROBLEM, status="429 Too Many Requests", more=f"retry-after: {date}\r\n"))
    with hostile(script) as server, pytest.raises(RateLimited) as caught:
        call(server)
    assert caught.value.retry_after_s == 86_400


def test_too_many_requests_without_a_pause_is_the_rate_still() -> None:
    with hostile(answering(answer(PROBLEM, status="429 Too Many Requests"))) as server:
        with pytest.raises(RateLimited) as caught:
            call(server)
        assert caught.value.retry_after_s is None


@pytest.mark.parametrize("status", ["500 Internal Server Error", "502 Bad Gateway", "504 Gateway Timeout"])
def test_a_gateway_in_between_that_names_a_pause_does_not_say_that_nothing_happened(status: str) -> None:
    with hostile(answering(answer(PROBLEM, status=status, more="Retry-After: 5\r\n"))) as server:
        with pytest.raises(OutcomeUnknown) as caught:
            call(server)
        assert caught.value.retry_after_s == 5


def test_a_redirect_is_not_followed() -> None:
    with ExitStack() as stack:
        target = stack.enter_context(hostile(answering(answer(CAPTURED))))
        script = answering(answer(b"", status="307 Temporary Redirect", more=f"location: {target.url}\r\n"))
        server = stack.enter_context(hostile(script))
        with pytest.raises(OutcomeUnknown):
            call(server)
        assert target.connections == 0


def test_only_the_service_itself_can_say_that_a_key_is_unknown() -> None:
    for body, kind in ((b"<html>not found</html>", "text/html"), (PROBLEM, "application/json")):
        script = answering(answer(body, status="404 Not Found", kind=kind))
        with hostile(script) as server, gateway(server.url) as payments, pytest.raises(OutcomeUnknown):
            payments.inquire("o-1:cap:1")


def test_nothing_was_sent_when_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(Unavailable):
        call_url(f"http://127.0.0.1:{port}", 20)


def test_nothing_was_sent_when_the_host_has_no_address() -> None:
    with pytest.raises(Unavailable):
        call_url("https://gateway.invalid", 20)


def test_nothing_was_sent_when_the_connection_is_not_accepted_in_time() -> None:
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):  # fill the backlog, so that the next one is left without an answer
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        with pytest.raises(Unavailable):
            call_url(f"http://127.0.0.1:{listener.getsockname()[1]}", 0.2)


@pytest.mark.parametrize("script", [lambda peer: peer.freeze(), lambda peer: peer.send(b"HTTP/1.1 400 Bad\r\n\r\n")])
def test_nothing_was_sent_when_tls_does_not_come_about(script: Callable[[Peer], None]) -> None:
    with hostile(script) as server, pytest.raises(Unavailable):
        call_url(server.url.replace("http:", "https:"), 0.5)


@pytest.mark.parametrize("url", ["http://gateway.example", "ftp://127.0.0.1", "https://user:pw@gateway.example", "x"])
def test_a_gateway_url_that_is_not_safe_is_refused_at_the_start(url: str) -> None:
    with pytest.raises(Misconfigured):
        Channel(url, threads=1, deadline_s=1)


def test_who_does_without_tls_to_another_machine_says_so_in_the_url() -> None:
    Channel("http+insecure://simulator:8077", threads=1, deadline_s=1).close()


def test_a_key_that_could_smuggle_a_header_is_refused() -> None:
    channel = Channel("http://127.0.0.1:9", threads=1, deadline_s=1)
    with pytest.raises(Poison):
        channel.post("/x", key="a\r\nx: y", body=b"{}")


def test_connections_are_bounded_and_used_again() -> None:
    def script(peer: Peer) -> None:
        while True:
            peer.read_request()
            peer.send(answer(CAPTURED))

    with hostile(script) as server, closing(http_world(server.url, threads=3, deadline_s=20)) as world:
        with ThreadPoolExecutor(12) as pool:
            answers = list(pool.map(lambda _: world.call(REQUEST, inquire_first=False), range(60)))
        assert len(answers) == 60
        assert server.most_open <= 3
        assert server.connections <= 3


def test_a_caller_that_finds_no_free_connection_in_time_has_sent_nothing() -> None:
    with (
        hostile(answering(answer(CAPTURED))) as server,
        closing(Channel(server.url, threads=1, deadline_s=0.1)) as channel,
    ):
        channel._slots.acquire()
        with pytest.raises(Unavailable):
            channel.get("/x")
        assert server.connections == 0


def test_a_connection_that_the_service_closed_while_idle_is_replaced_without_a_trace() -> None:
    script = answering(answer(CAPTURED))  # as if it kept the connection alive, but closes
    with hostile(script) as server, closing(http_world(server.url, threads=1, deadline_s=20)) as world:
        for _ in range(5):
            world.call(REQUEST, inquire_first=False)
            while server.open:  # until the close has happened
                server.closing.wait(0.001)
        assert server.connections == 5
