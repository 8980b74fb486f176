"""The figures of a drill: a line as soon as a fault is over, and all of them as Markdown for the documentation."""

import sys
from collections.abc import Sequence

from tests.drill.drill import Struck

OBSERVED = ("orders", "commits", "publishes", "puts", "replica", "read models")
HEAD = (
    f"{'fault':10}{'target':36}{'held':>7}"
    + "".join(f"{name:>13}" for name in OBSERVED)
    + f"{'whole after':>13}  (longest time without progress, in seconds)"
)


def title(struck: Struck) -> str:
    place = f" ({struck.place})" if struck.place else ""
    return f"{struck.engine} {struck.target}{place}".strip().removeprefix("roles ")


def gap(struck: Struck, name: str) -> str:
    """Nothing where there is nobody to look at."""
    return f"{struck.gaps_s[name]:.1f}" if name in struck.gaps_s else "-"


def line(struck: Struck) -> str:
    gaps = "".join(f"{gap(struck, name):>13}" for name in OBSERVED)
    return f"{struck.kind:10}{title(struck):36}{struck.held_s:>7.1f}{gaps}{struck.whole_s:>13.1f}"


def moved(struck: Struck) -> str:
    """What went on while the fault lasted."""
    events, placed, closed = struck.moved
    return f"{struck.kind:10}{title(struck):36}{events:>9,} events {placed:>6} orders accepted {closed:>6} closed"


def tell(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def markdown(found: Sequence[Struck]) -> str:
    """The same for `docs/operations/cluster.md`."""
    lines = [
        "| fault | target | lasted | " + " | ".join(OBSERVED) + " | whole after | while it lasted |",
        "|---|---|--:|" + "--:|" * (len(OBSERVED) + 1) + "---|",
    ]
    for one in found:
        gaps = " | ".join(gap(one, name) for name in OBSERVED)
        events, placed, closed = one.moved
        during = f"{events:,} events, {placed} accepted, {closed} closed"
        lines.append(f"| {one.kind} | {title(one)} | {one.held_s:.1f} | {gaps} | {one.whole_s:.1f} | {during} |")
    return "\n".join(lines) + "\n"
