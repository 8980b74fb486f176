"""Errors become codes and sentences."""

import pytest

from domain.errors import (
    BrokerUnavailable,
    CommandRefused,
    Misconfigured,
    OrderwrightError,
    Poison,
    StoreUnavailable,
    Unavailable,
    VersionConflict,
)
from workers.cli.failures import Usage, exit_code, sentence


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (StoreUnavailable("away"), 5),
        (BrokerUnavailable("away"), 5),
        (Unavailable("away"), 5),
        (CommandRefused("no"), 3),
        (Misconfigured("no"), 3),
        (Usage("no"), 2),
        (Poison("bad"), 1),
        (VersionConflict("order-1", expected=1, current=2), 1),
    ],
)
def test_every_error_has_its_documented_code(error: OrderwrightError, code: int) -> None:
    assert exit_code(error) == code


def test_an_error_of_the_system_names_the_file() -> None:
    assert sentence(PermissionError(13, "Permission denied", "x.jsonl")) == "x.jsonl: Permission denied"
