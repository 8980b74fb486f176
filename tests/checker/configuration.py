"""K29: the settings change as if by one hand after the other, and nobody who follows them is taken back.

A line `settings` of the history is one call to the store by one `client`:

    {"client", "call": "read", "began", "ended", "version", "values"}
    {"client", "call": "change", "began", "ended", "expected", "values", "outcome": "done", "version"}
                                                                        "outcome": "refused", "version": the one that was found
                                                                        "outcome": "unknown", and nothing is known of its end
    {"client", "call": "seen", "at", "version", "values"}     a process goes by this version from now on, wherever it has it from
    {"call": "start", "version", "values"}                    what there was before; without it, version 0 and nothing

The logs of the roles tell the same of every process that followed the settings of the installation, over its restarts: `IN_FORCE`.

`store` tells several stores apart. Times are seconds of one clock that nobody can set.
"""

import json
from collections import defaultdict
from collections.abc import Mapping
from math import inf

from tests.checker.evidence import Evidence, Row
from tests.checker.registers import START, Call, State, unexplained
from tests.checker.verdict import Findings

IN_FORCE = "settings in force"
FOLLOWERS = ("worker", "relay", "intake")  # one process after the other writes to the log of each; commands share one
KINDS = {"done": "change", "refused": "refused", "unknown": "lost"}


def settings_are_one_history(evidence: Evidence) -> Findings:
    yield from _followed(evidence.logs or {})
    if evidence.history is None:
        return
    stores = defaultdict[str, list[Row]](list)
    for line in evidence.told_of("settings"):
        stores[line.get("store", "settings")].append(line)
    for store, lines in stores.items():
        yield from ((store, wrong) for wrong in wrongs(lines))


def _followed(logs: Mapping[str, list[str]]) -> Findings:
    """No role goes back, not even by a restart."""
    for name, lines in logs.items():
        if name.startswith(FOLLOWERS):
            seen = [json.loads(line) for line in lines if line.startswith("{") and IN_FORCE in line]
            told = [{"call": "seen", "client": name, "at": at, **one} for at, one in enumerate(seen)]
            yield from (("settings", wrong) for wrong in _taken_back(told))


def wrongs(lines: list[Row]) -> list[str]:
    """What is wrong with the recorded calls to one store; nothing if it is one register with one history."""
    start = next((_state(line) for line in lines if line["call"] == "start"), START)
    calls = [_call(line) for line in lines if line["call"] in ("read", "change")]
    return [*unexplained(calls, start), *_taken_back(lines), *_never_made(lines, start)]


def _call(line: Row) -> Call:
    kind = "read" if line["call"] == "read" else KINDS[line["outcome"]]
    return Call(
        client=line["client"],
        kind=kind,
        began=line["began"],
        ended=inf if kind == "lost" else line["ended"],
        expected=line.get("expected"),
        version=line.get("version"),
        value=_text(line["values"]),
    )


def _taken_back(lines: list[Row]) -> list[str]:
    """By what each process goes: a version never gives way to an older one."""
    found, latest = [], dict[str, int]()
    for line in sorted((line for line in lines if line["call"] == "seen"), key=lambda line: line["at"]):
        client, version = line["client"], line["version"]
        if version < latest.get(client, 0):
            found.append(f"{client} went by version {latest[client]}, then by version {version}")
        latest[client] = version
    return found


def _never_made(lines: list[Row], start: State) -> list[str]:
    """Nobody goes by what nobody has set."""
    made = {start}
    for line in lines:
        if line["call"] == "change" and line["outcome"] in ("done", "unknown"):
            made.add((line["expected"] + 1, _text(line["values"])))
    seen = [line for line in lines if line["call"] == "seen" and _state(line) not in made]
    return [
        f"{line['client']} goes by version {line['version']} ({_text(line['values'])}), which was never made"
        for line in seen
    ]


def _state(line: Row) -> State:
    return line["version"], _text(line["values"])


def _text(values: object) -> str:
    return json.dumps(values, sort_keys=True, separators=(",", ":"))
