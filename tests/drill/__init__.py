"""The cluster drill: `python -m tests.drill --orders 5000`, or `make drill`. A whole installation on one machine loses one node after the other.

    site.py       the installation: three RabbitMQ nodes, three etcd members, PostgreSQL with a replica, simulator, roles
    targets.py    what can be struck, and how it is healed
    schedule.py   which fault comes when, decided by a seed
    stream.py     the orders, a share for each fault
    changes.py    settings that are changed while faults last
    series.py     an observer that looks ten times a second; probes.py says at what
    drill.py      strike, hold, heal, wait until all is whole; what that cost
    table.py      the figures for a terminal and for the documentation

Nothing is judged here: the verdict is that of `tests.checker`, on everything that the run left behind.
"""
