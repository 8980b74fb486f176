"""Chaos: real processes on a private database, killed at any moment; then the checker judges what they left behind."""
