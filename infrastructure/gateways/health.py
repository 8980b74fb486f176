"""Whether the outside world answers at all."""

from contextlib import closing

from domain.errors import Misconfigured, Transient
from infrastructure.gateways.channel import Channel


def trouble(url: str, *, timeout_s: float = 3.0) -> str | None:
    """Why `GET /healthz` is not answered well; None if it is."""
    try:
        with closing(Channel(url, threads=1, deadline_s=timeout_s)) as channel:
            status = channel.get("/healthz").status
    except (Transient, Misconfigured) as error:
        return str(error)
    return None if status == 200 else f"it answers with status {status}"
