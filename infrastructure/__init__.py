"""Adapters: each implements a port of the domain on one technology."""
