"""The books of the simulator, as its own summary tells them."""

import json
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from domain.errors import Unavailable

TIMEOUT_S = 10.0


def ledger_summary(url: str) -> dict[str, Any]:
    """Sums and counts of everything that was done there."""
    try:
        with urlopen(f"{url}/ledger/summary", timeout=TIMEOUT_S) as answer:  # noqa: S310 - our own http:// address
            summary: dict[str, Any] = json.load(answer)
            return summary
    except (URLError, OSError) as error:
        raise Unavailable(f"the simulator does not answer: {error}") from None
