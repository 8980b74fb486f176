"""The outside world inside the process: for benchmarks of our own part, and for simulated runs under a seeded clock.

It keeps the same promises as the simulator process (idempotency keys with a window, inquiry, captures bounded by the authorization,
seeded chances) and passes the same contract, but shares no code with it: two independent readings of one protocol check each other.
It lasts as long as the process does.
"""

from infrastructure.gateways.inprocess.behaviour import InProcessBehaviour
from infrastructure.gateways.inprocess.world import InProcessWorld

__all__ = ["InProcessBehaviour", "InProcessWorld"]
