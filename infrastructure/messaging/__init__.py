"""Messaging over kombu: one code path, three brokers, chosen by the URL.

`broker.connect(settings)` gives publishers and consumers. Below it lie `publisher` (confirmed batches) and `consumer` (our own loop
in its own thread); both work on a `Wire`, which is one kombu connection. The wires differ only in what kombu's transports differ in.
"""
