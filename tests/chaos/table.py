"""The table of a matrix run: a line as soon as a row has ended, and the whole as Markdown for the documentation."""

import sys
from collections.abc import Sequence
from textwrap import shorten

from tests.chaos.matrix import Outcome

WORDS = ("attempts", "acknowledged", "ok", "lost", "unexpected", "duplicated", "recovered")
HEAD = f"{'row':6}{'fault':47}{'injected':>9}{'attempts':>9}{'ack':>5}{'ok':>5}{'lost':>5}{'unexp':>6}{'dup':>4}{'recov':>6}{'outage':>8}{'took':>7}  verdict"


def line(outcome: Outcome) -> str:
    """One row, for a terminal."""
    row, counts = outcome.row, outcome.counts
    figures = f"{outcome.injected or '':>9}"
    widths = (9, 5, 5, 5, 6, 4, 6)
    figures += "".join(f"{counts.get(word, ''):>{width}}" for word, width in zip(WORDS, widths, strict=True))
    outage = f"{outcome.outage_s:.1f} s" if counts else ""
    mark = "" if outcome.green else "  <-- RED"
    notes = f" ({'; '.join(outcome.notes)})" if outcome.notes else ""
    fault = shorten(row.fault, 46, placeholder="…")
    return f"{row.number:6}{fault:47}{figures}{outage:>8}{outcome.took_s:>5.0f} s  {outcome.verdict}{mark}{notes}"


def tell(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def markdown(outcomes: Sequence[Outcome]) -> str:
    """The same for `docs/reliability.md`."""
    lines = [
        "| row | fault | how | injected | attempts | ack | ok | lost | unexp. | dup. | recov. | longest outage | verdict |",
        "|---|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|",
    ]
    for outcome in outcomes:
        row, counts = outcome.row, outcome.counts
        how = "live" if row.inject else ", ".join(f"`{test.rpartition('::')[2]}`" for test in row.tests) or "-"
        figures = " | ".join(str(counts.get(word, "")) for word in WORDS)
        outage = f"{outcome.outage_s:.1f} s" if counts else ""
        notes = f" ({'; '.join(outcome.notes)})" if outcome.notes else ""
        verdict = outcome.verdict if not row.untested else f"not tested: {row.untested}"
        lines.append(
            f"| {row.number} | {row.fault} | {how} | {outcome.injected or ''} | {figures} | {outage} | {verdict}{notes} |"
        )
    return "\n".join(lines) + "\n"
