"""Logs: one line an entry, nothing in it that was not meant for it."""

import ast
import io
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
import structlog

from infrastructure import logs

ROOT = Path(__file__).parents[2]
CARD = "4111111111111111"
Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def configured(*, pretty: bool = False, level: Literal["debug", "info", "warning", "error"] = "info") -> io.StringIO:
    stream = io.StringIO()
    logs.configure(pretty=pretty, level=level, stream=stream)
    return stream


def entries(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def fail(card: str, message: str = "no") -> None:
    raise ValueError(message + card[:0])


def test_an_entry_is_one_line_of_json_with_time_and_level() -> None:
    stream = configured()
    structlog.get_logger().info("order placed", order_id="o1")
    [entry] = entries(stream)
    assert (entry["event"], entry["level"], entry["order_id"]) == ("order placed", "info", "o1")
    assert entry["timestamp"].endswith("Z")


@pytest.mark.parametrize("pretty", [True, False])
def test_what_is_not_on_the_list_of_keys_is_not_written(pretty: bool) -> None:
    stream = configured(pretty=pretty)
    structlog.get_logger().info("order placed", order_id="o1", body=CARD, payment_token="tok")
    assert CARD not in stream.getvalue()
    assert "tok" not in stream.getvalue()
    assert "o1" in stream.getvalue()


@pytest.mark.parametrize("pretty", [True, False])
def test_a_traceback_carries_no_values(pretty: bool) -> None:
    stream = configured(pretty=pretty)
    card = CARD
    try:
        fail(card)
    except ValueError:
        structlog.get_logger().exception("it failed")
    assert "ValueError" in stream.getvalue()
    assert "in fail" in stream.getvalue()
    assert CARD not in stream.getvalue()


@pytest.mark.parametrize("pretty", [True, False])
@pytest.mark.parametrize(
    "text", ["a\nforged line", "a\r\nb", "\x1b[2Jgone", "\x9b2J", "a\u202eb", "a\u2066b", "\x00", "\ud800"]
)
def test_no_value_can_forge_a_line_or_steer_a_terminal(pretty: bool, text: str) -> None:
    stream = configured(pretty=pretty)
    structlog.get_logger().info(text, reason=text, orders=[text], runs={text: text})
    written = stream.getvalue()
    assert written.count("\n") == 1
    if not pretty:
        decoded = json.loads(written)
        written = "".join(map(str, [decoded["event"], decoded["reason"], *decoded["orders"], decoded["runs"]]))
    assert not set(written) & set("\r\x1b\x9b\u202e\u2066\x00\ud800")


@pytest.mark.parametrize("pretty", [True, False])
def test_the_message_of_an_error_cannot_steer_a_terminal(pretty: bool) -> None:
    stream = configured(pretty=pretty)
    try:
        fail(CARD, "\x1b[2J\u202egone")
    except ValueError:
        structlog.get_logger().exception("it failed")
    assert "ValueError" in stream.getvalue()
    assert not set(stream.getvalue()) & set("\x1b\u202e")


def test_values_are_cut() -> None:
    stream = configured()
    structlog.get_logger().info("x", reason="a" * 10_000, orders=["b" * 10_000] * 1_000)
    assert len(stream.getvalue()) < 60_000
    assert len(entries(stream)[0]["reason"]) == logs.VALUE_LIMIT


def test_the_level_is_a_floor() -> None:
    stream = configured(level="warning")
    structlog.get_logger().info("quiet")
    structlog.get_logger().warning("loud")
    assert [entry["event"] for entry in entries(stream)] == ["loud"]


def test_the_loggers_of_libraries_write_the_same_way() -> None:
    stream = configured()
    logging.getLogger("kombu.some").warning("it is %s\nforged", "away")
    [entry] = entries(stream)
    assert (entry["event"], entry["level"], entry["logger"]) == ("it is away\\nforged", "warning", "kombu.some")


def test_libraries_do_not_chat() -> None:
    stream = configured(level="debug")
    logging.getLogger("amqp").info("frame received")
    assert stream.getvalue() == ""


def test_a_library_that_logs_nonsense_breaks_nothing() -> None:
    stream = configured()
    logging.getLogger("amqp").warning("%d of %s", "one")  # noqa: PLE1206 - that is the point
    assert [entry["event"] for entry in entries(stream)] == ["%d of %s"]


def test_the_traceback_of_a_library_is_kept() -> None:
    stream = configured()
    try:
        fail(CARD)
    except ValueError:
        logging.getLogger("kombu").exception("it failed")
    assert "ValueError" in entries(stream)[0]["exception"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [("plain", "plain"), ("Zoë", "Zoë"), ("a\tb", "a\\tb"), ("\u202e", "\\u202e"), ("\U0001f600", "\U0001f600")],
)
def test_text_is_shown_as_it_is_unless_it_acts(text: str, shown: str) -> None:
    assert logs.printable(text) == shown


@pytest.mark.parametrize("package", ["infrastructure", "workers"])
def test_every_key_that_our_code_logs_gets_into_the_log(package: str) -> None:
    """The allow-list drops a key that it does not know without a word."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in (ROOT / package).rglob("*.py")]
    calls = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call) and _logs(node.func)]
    keys = {keyword.arg for call in calls for keyword in call.keywords if keyword.arg}
    assert calls
    assert keys <= logs.ALLOWED


def _logs(function: ast.expr) -> bool:
    return (
        isinstance(function, ast.Attribute)
        and isinstance(function.value, ast.Name)
        and function.value.id == "log"
        and function.attr in {"debug", "info", "warning", "error", "exception"}
    )
