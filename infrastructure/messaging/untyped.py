"""A name for what comes from kombu, py-amqp and pgmq without a type worth writing down."""

from typing import Any, TypeAlias

Untyped: TypeAlias = Any
