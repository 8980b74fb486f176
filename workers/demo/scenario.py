"""What happens in the demonstration: where the goods are, how the outside world behaves, what the people decide.

Everything is drawn from the order's id or its place in the file, so each run tells the same story; only its timing differs.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any
from zlib import crc32

AMERICAS = ("AR", "BR", "CA", "MX", "US", "VE")
EUROPE = ("AT", "BE", "CH", "DE", "DK", "ES", "FI", "FR", "GB", "IE", "IT", "NO", "PL", "PT", "SE")
ROTTERDAM, SEATTLE = "ROTTERDAM", "SEATTLE"
WAREHOUSES: Mapping[str, tuple[str, ...]] = {ROTTERDAM: EUROPE, SEATTLE: AMERICAS}

FIRST_SHARE = 0.7
SECOND_SHARE = 0.4
CANCEL_EVERY = 97

# Short timers, so that what takes days takes seconds here.
SETTINGS: Mapping[str, Any] = {
    "payment_answer_s": 6.0,
    "backorder_recheck_s": 2.0,
    "call_deadline_s": 3.0,
    "backoff_s": 0.2,
    "backoff_cap_s": 2.0,
    "attempts": 20,
    "sweep_s": 1.0,
    "grace_s": 10.0,
    "log_format": "json",
}

BEHAVIOUR = json.dumps(
    {
        "review_share": 0.03,
        "reject_share": 0.012,
        "hard_decline_share": 0.015,
        "soft_decline_share": 0.04,
        "refused_label_share": 0.004,
        "transit_ms": 500,
        "transit_jitter_ms": 2_000,
        "label_currency": "USD",
        "latency": {"fixed_ms": 5, "jitter_ms": 20},
        "faults": {"error_before": 0.01, "error_after": 0.005, "drop_before": 0.005, "drop_after": 0.01},
    }
)

Delivery = Mapping[tuple[str, str], int]


def settings_file(data_dir: str) -> str:
    """The settings of the demonstration's processes as TOML."""
    lines = [
        f"data_dir = {json.dumps(data_dir)}",
        *(f"{name} = {json.dumps(value)}" for name, value in SETTINGS.items()),
    ]
    for warehouse, countries in WAREHOUSES.items():
        lines += ["", "[[warehouses]]", f'id = "{warehouse}"', f"countries = {json.dumps(countries)}"]
    return "\n".join(lines) + "\n"


def first_delivery(orders: Iterable[Mapping[str, Any]]) -> Delivery:
    """Too little on purpose: the later orders have to wait."""
    return _share(orders, FIRST_SHARE)


def second_delivery(orders: Iterable[Mapping[str, Any]]) -> Delivery:
    """Enough for everybody."""
    return _share(orders, SECOND_SHARE)


def changes_mind(place: int) -> bool:
    """The customer of this order cancels right after submitting it."""
    return place % CANCEL_EVERY == CANCEL_EVERY - 1


def decides(order_id: str, hold: str) -> str:
    """What a person does about a held order: `release`, `cancel`, or `wait` for the time to run out."""
    chance = crc32(f"{hold} {order_id}".encode()) % 100
    match hold:
        case "HIGH_RISK_OF_FRAUD":
            return "release" if chance < 70 else "cancel"
        case "AWAITING_PAYMENT":
            return "release" if chance < 75 else "wait"
        case "INCORRECT_ADDRESS":
            return "cancel"
        case _:
            return "release"


def _share(orders: Iterable[Mapping[str, Any]], share: float) -> Delivery:
    wanted: Counter[tuple[str, str]] = Counter()
    for order in orders:
        warehouse = SEATTLE if order["ship_to"]["country"] in AMERICAS else ROTTERDAM
        for line in order["lines"]:
            wanted[warehouse, line["sku"]] += line["quantity"]
    return {place: max(1, round(units * share)) for place, units in sorted(wanted.items())}
