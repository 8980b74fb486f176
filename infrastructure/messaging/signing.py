"""Signed messages, for a broker that others can write to as well: who does not know a key cannot make us do anything.

    keyring file:   one `id secret` a line. The first key signs, all of them are taken. `#` begins a comment.

The signature is HMAC-SHA256 over the body and every label that somebody acts on: queue, content type, ids, address for answers, and our
own headers (`ow-...`). Each part is written with its length, so that no two messages are written alike. Headers of the broker are not
covered: it adds some on the way. A message that is sent a second time by somebody who copied it is taken; as everywhere, doing
a thing twice is doing it once.

To change the key: put the new one behind the old one everywhere, then in front of it everywhere, then remove the old one. The file
is looked at again once a second; one that cannot be read leaves the keys as they are.
"""

import hmac
import logging
import re
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from time import monotonic

import orjson

from domain.errors import Misconfigured
from domain.messaging import Inbound, Outbound

log = logging.getLogger(__name__)

KEY, SIGNATURE = "ow-key", "ow-signature"
OURS = "ow"
SHORTEST_SECRET = 32
LOOK_AGAIN_S = 1.0

_LINE = re.compile(r"([A-Za-z0-9._-]{1,32})\s+(\S+)")


class Keyring:
    """The keys of a file. May be shared between threads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._state = _state(path)
        self._keys = read_keys(path)
        self._look_at = monotonic() + LOOK_AGAIN_S

    def signed(self, message: Outbound) -> Outbound:
        """The message with the name of the key and the signature in its headers."""
        keys = self._current()
        name = next(iter(keys))
        labels = {**message.headers, KEY: name}
        body = _written(message.queue, message.body, _labels_of(message), labels)
        return replace(message, headers={**labels, SIGNATURE: hmac.digest(keys[name], body, "sha256").hex()})

    def trouble(self, message: Inbound) -> str | None:
        """Why the message is not to be trusted; None if it is."""
        name, signature = message.headers.get(KEY), message.headers.get(SIGNATURE)
        if not isinstance(name, str) or not isinstance(signature, str):
            return "not signed"
        secret = self._current().get(name)
        if secret is None:
            return f"signed with a key that is unknown here: {ascii(name)[:40]}"
        body = _written(message.queue, message.body, _labels_of(message), message.headers)
        right = hmac.digest(secret, body, "sha256").hex()
        if not hmac.compare_digest(right.encode(), signature.encode("utf-8", "replace")):
            return f"wrongly signed with the key {ascii(name)[:40]}"
        return None

    def doubt(self, letter: Inbound) -> str | None:
        """Why what a dead letter says is not to be trusted. One that the broker has moved is signed for the queue where it was first."""
        first = letter.headers.get("x-first-death-queue")
        return self.trouble(replace(letter, queue=first) if isinstance(first, str) else letter)

    def _current(self) -> Mapping[str, bytes]:
        with self._lock:
            if monotonic() >= self._look_at:
                self._look_at = monotonic() + LOOK_AGAIN_S
                self._look_again()
            return self._keys

    def _look_again(self) -> None:
        state = _state(self._path)
        if state == self._state:
            return
        self._state = state
        try:
            self._keys = read_keys(self._path)
        except Misconfigured as error:
            log.error("the keys of messages stay as they were: %s", error)  # noqa: TRY400 - the sentence says it all
        else:
            log.info("keys of messages: %s; the first one signs", ", ".join(self._keys))


def read_keys(path: Path) -> Mapping[str, bytes]:
    """By name, in the order of the file. Raises `Misconfigured`, which never repeats a secret."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(f"message_keys_file {path}: {type(error).__name__}") from None
    keys: dict[str, bytes] = {}
    for number, line in enumerate(lines, 1):
        if line.strip() and not line.lstrip().startswith("#"):
            name, secret = _key(line.strip(), f"message_keys_file {path}, line {number}")
            if name in keys:
                raise Misconfigured(f"message_keys_file {path}, line {number}: the name {name} is there twice")
            keys[name] = secret
    if not keys:
        raise Misconfigured(f"message_keys_file {path}: has no key; write `name secret`, one a line")
    return keys


def _key(line: str, place: str) -> tuple[str, bytes]:
    found = _LINE.fullmatch(line)
    if found is None:
        raise Misconfigured(f"{place}: write `name secret`, the name of up to 32 letters, digits, `.`, `_` and `-`")
    if len(found[2]) < SHORTEST_SECRET:
        raise Misconfigured(f"{place}: a secret has at least {SHORTEST_SECRET} characters (openssl rand -hex 32)")
    return found[1], found[2].encode()


def _state(path: Path) -> tuple[int, int, int] | None:
    """Another one when the file is another one, or was written to."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _labels_of(message: Inbound | Outbound) -> tuple[str | None, ...]:
    return message.content_type, message.message_id, message.correlation_id, message.reply_to


def _written(queue: str, body: bytes, labels: tuple[str | None, ...], headers: Mapping[str, object]) -> bytes:
    parts = [queue, *labels]
    for name in sorted(name for name in headers if name.startswith(OURS) and name != SIGNATURE):
        parts += [name, _plain(headers[name])]
    return b"".join([*map(_measured, parts), body])


def _measured(part: str | None) -> bytes:
    if part is None:
        return b"\xff\xff\xff\xff"
    text = part.encode("utf-8", "surrogatepass")
    return len(text).to_bytes(4, "big") + text


def _plain(value: object) -> str:
    """A header as JSON; what is no JSON is signed by nobody."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
    except (TypeError, orjson.JSONEncodeError):
        return f"{type(value).__name__}?"
