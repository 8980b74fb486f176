"""Class 4e: business logic that a single submission shows. Stock, cancellation and refunds are the pipeline's."""

# ruff: noqa: RUF001 - letters that look like others are the point

from tests.corpus.case import GOOD, Case, accepted, document, encoded, place, refused

_PAN = "4111111111111111"
_LINE = GOOD["lines"][0]
_WRITTEN = {
    "plain": _PAN,
    "blanks": "4111 1111 1111 1111",
    "dashes": "4111-1111-1111-1111",
    "dots": "4111.1111.1111.1111",
    "one by one": " ".join(_PAN),
    "in a sentence": "my card is 4111111111111111, thanks",
    "after a word": "card4111111111111111",
    "with its end date": "4111111111111111 12/27",
    "with its code": "4111 1111 1111 1111 123",
    "full width": "４１１１１１１１１１１１１１１１",
    "Arabic digits": "٤١١١١١١١١١١١١١١١",
    "no-break blanks": "4111\u00a01111\u00a01111\u00a01111",
    "American Express": "3782 822463 10005",
    "Mastercard": "5555555555554444",
    "Mastercard, 2 series": "2223003122003222",
    "Discover": "6011 1111 1111 1117",
    "JCB": "3530111333300000",
    "Diners Club": "3056 930902 5904",
    "UnionPay, 19 digits": "6205500000000000004",
    "code": "CVV: 123",
    "code, otherwise": "cvc2 1234",
    "security code": "Security Code 123",
}
_HARMLESS = {
    "wrong check digit": "4111111111111112",
    "telephone": "+49 30 901820 17",
    "IBAN": "DE89 3704 0044 0532 0130 00",
    "IBAN, plain": "DE89370400440532013000",
    "a long number": "41111111111111110000000",
    "an apartment": "cvc flat 12",
    "a date": "2026-11-23 14:05:33",
}
_FOREIGN_FIELDS = ("cvv", "CVV2", "cvc", "card_number", "pan", "expiry", "exp_month")

BUSINESS: list[Case] = [
    *(
        refused(f"card in {field}: {name}", encoded(place(field, text)), field)
        for name, text in _WRITTEN.items()
        for field in ("note", "ship_to.name", "ship_to.street", "lines[0].name")
    ),
    *(accepted(f"no card in the note: {name}", encoded(place("note", text))) for name, text in _HARMLESS.items()),
    refused("card as SKU", encoded(place("lines[0].sku", _PAN)), "lines[0].sku"),
    refused("card as token", encoded(place("payment.token", _PAN)), "payment.token"),
    refused("card as order id", encoded(document(order_id=_PAN)), "order_id"),
    refused("card as customer id", encoded(document(customer_id=_PAN)), "customer_id"),
    refused(
        "card over name and street",
        encoded(document(ship_to={**GOOD["ship_to"], "name": "Ada 4111 1111", "street": "1111 1111 Road"})),
        "ship_to.name",
    ),
    refused(
        "card over the names of two lines",
        encoded(document(lines=[{**_LINE, "name": "4111 1111"}, {**_LINE, "name": "1111 1111"}], total=5_670)),
        "lines[0].name",
    ),
    accepted("a bar code as SKU", encoded(place("lines[0].sku", "4006381333931"))),
    *(refused(f"field {name}", encoded(document(**{name: "1"}))) for name in _FOREIGN_FIELDS),
    refused("field cvv in payment", encoded(place("payment.cvv", "123")), "payment"),
    *(
        refused(f"country {code!a}", encoded(place("ship_to.country", code)), "ship_to.country")
        for code in ("ZZ", "de", "DEU", "", "Germany", "UK", "D\u0415")
    ),
    accepted("country of a sanctions list: the risk step's business", encoded(place("ship_to.country", "KP"))),
    accepted("the same SKU in two lines", encoded(document(lines=[_LINE, _LINE], total=5_670))),
    refused("no lines", encoded(document(lines=[], total=490)), "lines"),
    refused("a policy of its own", encoded(document(shipping_policy="ship-never")), "shipping_policy"),
    *(
        accepted(f"policy {policy}", encoded(document(shipping_policy=policy)))
        for policy in ("ship-partial", "ship-complete", "cancel-remainder")
    ),
]
