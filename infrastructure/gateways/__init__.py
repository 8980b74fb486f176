"""Adapters of the outside world: over HTTP to real services or the simulator, and inside the process for benchmarks and tests."""
