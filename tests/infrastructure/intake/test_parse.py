"""What the door promises beyond single hostile cases: sums, bounds, silence about the input, and one hash for one order."""

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.order import ShippingPolicy
from infrastructure import codec
from infrastructure.intake import MAX_BYTES, Refusal, content_hash, encode_order, parse_order, to_placed
from infrastructure.intake.cards import holds_card_number
from infrastructure.intake.refusal import MAX_ERRORS
from tests.corpus import GOOD, document, encoded, place
from tests.infrastructure.intake.samples import NOW

CANARY = "Qanary7731"

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)
paths = st.sampled_from(
    [
        *(
            "order_id",
            "customer_id",
            "currency",
            "lines",
            "shipping",
            "total",
            "ship_to",
            "payment",
            "shipping_policy",
            "note",
        ),
        *(
            "lines[0]",
            "lines[0].sku",
            "lines[0].quantity",
            "lines[0].amount",
            "lines[0].name",
            "ship_to.name",
            "ship_to.street",
        ),
        *(
            "ship_to.city",
            "ship_to.region",
            "ship_to.postal_code",
            "ship_to.country",
            "payment.token",
            "lines[0].extra",
            "extra",
        ),
    ]
)


def refusal_of(raw: bytes) -> Refusal:
    with pytest.raises(Refusal) as refusal:
        parse_order(raw)
    return refusal.value


def errors_of(raw: bytes) -> dict[str, str]:
    return {error.field: error.reason for error in refusal_of(raw).errors}


@given(paths, json_values)
def test_whatever_stands_in_a_field_is_either_refused_or_can_be_read_back(path: str, value: Any) -> None:
    try:
        placed = to_placed(parse_order(encoded(place(path, value))), NOW)
    except Refusal:
        return
    name, schema, data = codec.encode(placed)
    assert codec.decode(name, schema, data) == placed


@given(st.binary(max_size=400))
def test_any_bytes_are_refused_with_words(raw: bytes) -> None:
    assert str(refusal_of(raw)).isprintable()


@given(paths, st.text(alphabet="QZJX", min_size=9, max_size=9))
def test_a_refusal_never_repeats_what_was_sent(path: str, secret: str) -> None:
    for value in (secret, [secret], {secret: secret}, f"\x1b{secret}"):
        raw = encoded({**place(path, value), "total": -1})
        assert secret not in str(refusal_of(raw))


@given(paths)
def test_a_refusal_never_repeats_the_name_of_an_unknown_field(path: str) -> None:
    assert CANARY not in str(refusal_of(encoded({**place(path, 1), CANARY: 1})))


def test_the_order_key_is_kept_beside_the_refusal_if_it_looks_like_one() -> None:
    assert refusal_of(encoded(document(total=1))).order_id == "SHOP-1"
    assert refusal_of(encoded(document(currency=1))).order_id == "SHOP-1"
    assert refusal_of(encoded(document(order_id="4111111111111111", total=1))).order_id is None
    assert refusal_of(encoded(document(order_id="a b"))).order_id is None
    assert refusal_of(b"[]").order_id is None


@given(
    st.lists(st.tuples(st.integers(1, 1_000_000), st.integers(0, 10**12)), min_size=1, max_size=6),
    st.integers(0, 10**12),
    st.integers(-2, 2),
)
def test_an_order_adds_up_to_the_last_cent_or_is_refused(lines: list[tuple[int, int]], shipping: int, off: int) -> None:
    total = sum(amount for _, amount in lines) + shipping + off
    parts = [{"sku": f"S{number}", "quantity": units, "amount": amount} for number, (units, amount) in enumerate(lines)]
    raw = encoded(document(lines=parts, shipping=shipping, total=total))
    if off or total < 1:
        assert "total" in errors_of(raw)
        return
    placed = to_placed(parse_order(raw), NOW)
    assert sum(line.amount for line in placed.lines) + placed.shipping.amount == placed.total.amount == total


def test_the_event_says_what_the_submission_said() -> None:
    placed = to_placed(parse_order(encoded(GOOD)), NOW)
    assert (placed.order_id, placed.customer_id, placed.placed_at, placed.note) == (
        "SHOP-1",
        "C-1",
        NOW,
        "Leave at the door",
    )
    assert placed.policy is ShippingPolicy.PARTIAL
    assert placed.lines[0].number == 1
    assert placed.ship_to.country == "GB"
    assert placed.payment_token == "tok_1NvX"
    assert placed.total.currency == placed.shipping.currency == "EUR"


def test_one_order_has_one_hash_however_it_is_written() -> None:
    plain = document()
    del plain["note"]
    turned = dict(reversed(list(plain.items())))
    spelled_out = {**plain, "note": None, "shipping_policy": "ship-partial"}
    escaped = json.dumps(plain).replace("Tea", "\\u0054ea").encode()
    hashes = {
        content_hash(parse_order(raw))
        for raw in (*map(encoded, (plain, turned, spelled_out)), orjson.dumps(plain), escaped)
    }
    assert len(hashes) == 1


def test_the_hash_of_an_order_never_changes_between_releases() -> None:
    """It is stored with every order: another value here means that repeats of old orders would be refused."""
    assert (
        content_hash(parse_order(encoded(GOOD))) == "456143999ec7bd99822c186694e2ebb34e059363790547f90cac60d267a1b1a8"
    )


@pytest.mark.parametrize(
    "change",
    [
        {"total": 3081, "shipping": 491},
        {"note": "Ring twice"},
        {"customer_id": "C-2"},
        {"currency": "USD"},
        {"payment": {"token": "tok_2"}},
    ],
    ids=str,
)
def test_another_content_has_another_hash(change: dict[str, Any]) -> None:
    assert content_hash(parse_order(encoded(document(**change)))) != content_hash(parse_order(encoded(GOOD)))


def test_all_faults_are_named_at_once_but_not_without_end() -> None:
    line = {"sku": "", "quantity": 0, "amount": -1}
    assert set(errors_of(encoded(document(lines=[line])))) == {"lines[0].sku", "lines[0].quantity", "lines[0].amount"}
    assert len(refusal_of(encoded(document(lines=[line] * 1_000))).errors) == MAX_ERRORS + 1


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("qty", "known are sku"),
        ("quantitty", "did you mean quantity"),
        ("cvv", "card data"),
        ("unit_price", "amount is the final price"),
    ],
)
def test_an_unknown_field_is_explained(name: str, hint: str) -> None:
    assert hint in errors_of(encoded(place(f"lines[0].{name}", 1)))["lines[0]"]


def test_a_dictionary_takes_the_same_way() -> None:
    assert parse_order(encode_order(GOOD)) == parse_order(encoded(GOOD))
    with pytest.raises(Refusal, match="no form for"):
        encode_order(document(note=object()))


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"\xef\xbb\xbf{}", b"x" * (MAX_BYTES + 1)], ids=["empty", "cut", "mark", "long"]
)
def test_what_is_no_document_at_all_is_told_apart(raw: bytes) -> None:
    assert refusal_of(raw).undecodable
    assert not refusal_of(b"{}").undecodable


def _with_check_digit(number: str) -> str:
    return next(f"{number}{digit}" for digit in range(10) if _luhn_by_the_book(f"{number}{digit}"))


def _luhn_by_the_book(number: str) -> bool:
    total = 0
    for place_from_right, digit in enumerate(map(int, reversed(number))):
        value = digit * 2 if place_from_right % 2 else digit
        total += value - 9 if value > 9 else value
    return total % 10 == 0


@given(
    st.from_regex(r"(4[0-9]{14}|5[1-5][0-9]{13}|3[47][0-9]{12}|62[0-9]{16})", fullmatch=True).map(_with_check_digit),
    st.sampled_from(["", " ", "-", ".", " - "]),
    st.text(alphabet="abc ,", max_size=5),
)
def test_every_card_number_is_found_however_it_is_grouped(number: str, gap: str, around: str) -> None:
    grouped = gap.join(number[start : start + 4] for start in range(0, len(number), 4))
    assert holds_card_number(f"{around}{grouped}{around}")
    wrong = number[:-1] + str((int(number[-1]) + 1) % 10)
    assert not holds_card_number(f"x{wrong}x")
