"""The recorded orders become submissions that pass the door, to the cent."""

from decimal import ROUND_HALF_UP, Decimal
from importlib.resources import files

import orjson

from infrastructure.intake import parse_order
from workers.demo import northwind


def test_every_recorded_order_passes_the_schema() -> None:
    orders = [parse_order(line) for line in northwind.order_lines()]
    assert len(orders) == len({order.order_id for order in orders}) == 830
    assert sum(len(order.lines) for order in orders) == 2_155
    assert len({order.ship_to.country for order in orders}) == 21
    assert len({order.customer_id for order in orders}) == 89
    assert {order.currency for order in orders} == {"USD"}


def test_the_first_order_is_what_the_source_says() -> None:
    order = next(northwind.submissions())
    assert order["order_id"] == "NW-10248"
    assert [(line["sku"], line["quantity"], line["amount"]) for line in order["lines"]] == [
        ("NW-11", 12, 16_800),
        ("NW-42", 10, 9_800),
        ("NW-72", 5, 17_400),
    ]
    assert (order["shipping"], order["total"]) == (3_238, 47_238)
    assert "region" not in order["ship_to"]


def test_a_discounted_line_is_rounded_half_up_to_the_cent() -> None:
    order = next(order for order in northwind.submissions() if order["order_id"] == "NW-10264")
    line = next(line for line in order["lines"] if line["sku"] == "NW-41")
    assert Decimal("7.70") * 25 * Decimal("0.85") == Decimal("163.625")
    assert line["amount"] == 16_363


def test_no_cent_is_lost_over_all_orders() -> None:
    source = (files("workers.demo") / "data" / "northwind" / "orders.jsonl").read_bytes().splitlines()
    expected = Decimal(0)
    for order in map(orjson.loads, source):
        prices = [Decimal(x["unit_price"]) * x["quantity"] * (1 - Decimal(x["discount"])) for x in order["lines"]]
        rounded = [price.quantize(Decimal("0.01"), ROUND_HALF_UP) for price in prices]
        expected += sum(rounded, Decimal(order["freight"]))
    assert Decimal(sum(order["total"] for order in northwind.submissions())) == expected * 100


def test_names_keep_their_accents() -> None:
    assert any(order["ship_to"]["city"] == "Münster" for order in northwind.submissions())


def test_every_ordered_article_has_a_stock_receipt() -> None:
    receipts = {receipt.sku: receipt for receipt in northwind.stock_receipts()}
    wanted = northwind.demand(northwind.submissions())
    assert len(receipts) == 77
    assert wanted.keys() <= receipts.keys()
    assert wanted.total() == 51_317
    assert receipts["NW-1"] == northwind.StockReceipt(sku="NW-1", name="Chai", units=39)
