"""The doors of the outside world: which path means which operation, and what is refused before anything is done.

    POST /risk/assessments        POST /payments/authorizations   POST /carrier/labels         POST /mail/messages
                                  POST /payments/captures         POST /carrier/label-refunds
                                  POST /payments/voids            POST /carrier/handovers
    GET /{risk,payments,carrier,mail}/operations/{key}            GET /carrier/parcels/{tracking}
    GET /payments/movements/{cursor}
    GET, PUT /control             GET /ledger/{summary,rates}     GET /healthz

Every POST carries an `Idempotency-Key` header and a JSON body.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import unquote

from pydantic import BaseModel, ValidationError

from workers.simulator import parcels, payments, people, statement
from workers.simulator.behaviour import Behaviour, Operation
from workers.simulator.bodies import (
    Assessment,
    Authorization,
    Body,
    Capture,
    HandOver,
    Label,
    LabelRefund,
    Message,
    Void,
)
from workers.simulator.calls import Act, Call, Inquiry, Reply, Tracking, problem
from workers.simulator.desk import Desk
from workers.simulator.ledger import Ledger
from workers.simulator.scene import Answer, Scene

M = TypeVar("M", bound=BaseModel)

_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_SERVICES = frozenset({"payments", "carrier", "mail", "risk"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One parsed HTTP request; header names in lower case."""

    method: str
    path: str
    headers: dict[bytes, bytes]
    body: bytes


@dataclass(frozen=True, slots=True)
class _Route:
    operation: Operation
    model: type[Body]
    perform: Callable[[Scene, Any], Answer]


_ROUTES: dict[str, _Route] = {
    "/risk/assessments": _Route("risk", Assessment, people.assess),
    "/payments/authorizations": _Route("authorize", Authorization, payments.authorize),
    "/payments/captures": _Route("capture", Capture, payments.capture),
    "/payments/voids": _Route("void", Void, payments.void),
    "/carrier/labels": _Route("label", Label, parcels.buy_label),
    "/carrier/label-refunds": _Route("refund_label", LabelRefund, parcels.refund_label),
    "/carrier/handovers": _Route("hand_over", HandOver, parcels.hand_over),
    "/mail/messages": _Route("notify", Message, people.notify),
}


class Site:
    """Turns a request into a call for the desk, or answers at once what needs no ledger row."""

    def __init__(self, desk: Desk, ledger: Ledger) -> None:
        self._desk = desk
        self._ledger = ledger

    def open(self, request: Request) -> Call | Reply:
        route = _ROUTES.get(request.path)
        if route is not None:
            return _act(route, request) if request.method == "POST" else _wrong_method("POST")
        handlers = {"/control": self._control, "/ledger/summary": self._summary, "/ledger/rates": self._rates}
        handler = {**handlers, "/healthz": _health}.get(request.path)
        if handler is not None:
            return handler(request)
        if request.path.startswith(statement.DOOR):
            return self._movements(request)
        return _read(request)

    def _movements(self, request: Request) -> Reply:
        page = statement.page(self._ledger, unquote(request.path.removeprefix(statement.DOOR)))
        if request.method != "GET":
            return _wrong_method("GET")
        return _json(page) if page else problem(404, "unknown_cursor", "begin with the cursor `start`")

    def _control(self, request: Request) -> Reply:
        if request.method == "GET":
            return _json(self._desk.behaviour.model_dump())
        if request.method != "PUT":
            return _wrong_method("GET, PUT")
        wanted = _parse(Behaviour, request.body, over=self._desk.behaviour.model_dump())
        if isinstance(wanted, Reply):
            return wanted
        self._desk.change(wanted)
        return _json(wanted.model_dump())

    def _summary(self, request: Request) -> Reply:
        if request.method != "GET":
            return _wrong_method("GET")
        authorized = self._ledger.rows("sum_authorized")
        return _json(
            {
                "authorized": {currency: amount for currency, amount, *_ in authorized},
                "captured": dict(self._ledger.rows("sum_captured")),
                "voided": dict(self._ledger.rows("sum_voided")),
                "open": {currency: amount - captured - voided for currency, amount, captured, voided in authorized},
                "counts": dict(self._ledger.rows("counts")),
                "faults": dict(self._ledger.rows("count_faults")),
            }
        )

    def _rates(self, request: Request) -> Reply:
        """The calls of every second since 1970 in which there were any, and how many of them were spoiled."""
        if request.method != "GET":
            return _wrong_method("GET")
        names = ("second", "operation", "calls", "spoiled")
        return _json({"rates": [dict(zip(names, row, strict=True)) for row in self._ledger.rows("count_calls")]})


def _act(route: _Route, request: Request) -> Call | Reply:
    key = request.headers.get(b"idempotency-key", b"").decode("latin-1")
    if not _KEY.fullmatch(key):
        return problem(400, "bad_key", "send an Idempotency-Key header of 1 to 255 printable ASCII characters")
    if request.headers.get(b"content-type", b"").partition(b";")[0].strip().lower() != b"application/json":
        return problem(415, "not_json", "send Content-Type: application/json")
    body = _parse(route.model, request.body)
    if isinstance(body, Reply):
        return body
    service = request.path.split("/")[1]
    return Act(service=service, operation=route.operation, key=key, body=body, perform=route.perform)


def _read(request: Request) -> Call | Reply:
    match request.path.split("/"):
        case ["", service, "operations", key] if service in _SERVICES and key:
            call: Call = Inquiry(service=service, key=unquote(key))
        case ["", "carrier", "parcels", tracking] if tracking:
            call = Tracking(tracking=unquote(tracking))
        case _:
            return problem(404, "unknown_path", "there is nothing at this path")
    return call if request.method == "GET" else _wrong_method("GET")


def _parse(model: type[M], raw: bytes, *, over: dict[str, object] | None = None) -> M | Reply:
    try:
        if over is not None:
            raw = json.dumps({**over, **json.loads(raw)}).encode()
        return model.model_validate_json(raw)
    except ValidationError as error:
        return _invalid(error)
    except (ValueError, TypeError, RecursionError):
        return problem(400, "invalid_json", "the body is not a JSON object")


def _invalid(error: ValidationError) -> Reply:
    problems = error.errors(include_url=False, include_input=False, include_context=False)
    if problems[0]["type"] == "json_invalid":
        return problem(400, "invalid_json", problems[0]["msg"])
    fields = [{"field": ".".join(map(str, each["loc"])), "problem": each["msg"]} for each in problems[:20]]
    return problem(422, "invalid", "the body is not what this operation takes", fields=fields)


def _wrong_method(allowed: str) -> Reply:
    return problem(405, "wrong_method", f"use {allowed}")


def _health(_request: Request) -> Reply:
    return _json({"status": "ok"})


def _json(value: object) -> Reply:
    return Reply(status=200, body=json.dumps(value).encode())
