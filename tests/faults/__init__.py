"""Faults to inject: signals, a proxy that loses bytes, servers to freeze and to kill. Without root, and only on what the tests started."""
