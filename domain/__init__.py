"""The functional core: aggregates, process rules and ports. Standard library only; no clock, no randomness, no I/O."""
