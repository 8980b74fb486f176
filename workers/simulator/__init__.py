"""The outside world, simulated: payment gateway, carrier, mail and risk service as one HTTP server with its own ledger.

It stands for systems that we do not own, so it shares nothing with the rest of the program: it imports neither `domain` nor
`infrastructure`, runs as its own process, and keeps its own books in SQLite, which a checker can compare with our events. It is
honest about the one thing that matters in tests of failure: an answer leaves only after its ledger row is on disk, and the ways in
which a real service misbehaves (lost answers, errors after acting, forgotten keys) can be switched on, seeded, while it runs.

    requests ─► connection ─► site (routes, checks) ─► desk (idempotency, one transaction a batch) ─► payments, parcels, people
"""

from workers.simulator.behaviour import Behaviour, Faults, Latency
from workers.simulator.server import SimulatorConfig, serve

__all__ = ["Behaviour", "Faults", "Latency", "SimulatorConfig", "serve"]
