"""In which order the nodes of a cluster are tried: shuffled, and those that have just failed last.

Shuffled, so that clients spread over the nodes and no node is the one that everybody waits for. What one connection learned about a node,
the others of this process need not learn again: a node that takes connections and then says nothing costs its deadline each time.
"""

from collections.abc import Sequence
from time import monotonic

from infrastructure.chance import chance

REMEMBERED_S = 15.0

_failed_at: dict[str, float] = {}


def in_order(nodes: Sequence[str]) -> list[str]:
    """All of them; the one that failed last comes last."""
    forgotten = monotonic() - REMEMBERED_S
    shuffled = chance.sample(nodes, len(nodes))
    return sorted(shuffled, key=lambda node: failed if (failed := _failed_at.get(node, 0.0)) > forgotten else 0.0)


def has_failed(node: str) -> None:
    _failed_at[node] = monotonic()
