"""Whether the outside world answers at all."""

import urllib3


def trouble(url: str, *, timeout_s: float = 3.0) -> str | None:
    """Why `GET /healthz` is not answered well; None if it is."""
    try:
        answer = urllib3.request("GET", f"{url}/healthz", timeout=timeout_s, retries=False)
    except (urllib3.exceptions.HTTPError, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    return None if answer.status == 200 else f"it answers with status {answer.status}"
