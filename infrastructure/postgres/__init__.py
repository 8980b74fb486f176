"""Adapters on PostgreSQL, which holds the truth."""
