"""Real adapters that keep everything in one process's memory: for tests, examples and runs that nobody needs to remember."""

from infrastructure.memory.store import MemoryStore

__all__ = ["MemoryStore"]
