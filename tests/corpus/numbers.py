"""Class 4b: numbers and money."""

# ruff: noqa: RUF001 - letters that look like others are the point

from tests.corpus.case import Case, accepted, document, encoded, literally, place, refused

_LINE = {"sku": "A", "quantity": 1, "amount": 10**12}
_NO_QUANTITY = {
    "0": "0",
    "-1": "-1",
    "1.0": "1.0",
    "1.5": "1.5",
    "quoted": '"1"',
    "true": "true",
    "1e0": "1e0",
    "1e400": "1e400",
    "-0": "-0",
    "2^31": str(2**31),
    "2^53+1": str(2**53 + 1),
    "2^63": str(2**63),
    "10^30": str(10**30),
    "4,300 digits": "1" * 4_300,
    "underscore": '"1_000"',
    "Arabic digits": '"١٢"',
    "leading blank": '" 1"',
    "hexadecimal": '"0x10"',
    "thousands separator": '"1,000"',
    "a million and one": "1000001",
    "NaN": "NaN",
    "Infinity": "Infinity",
}
_NO_JSON = {
    "4,301 digits": "1" * 4_301,
    "200,000 digits": "1" * 200_000,
    "leading zero": "01",
    "plus": "+1",
    "0x10": "0x10",
}
_NO_AMOUNT = {
    "float": "0.1",
    "long float": "12345678901234567.89",
    "quoted": '"1e999999"',
    "huge exponent": "1E+1000000000",
    "three decimals": "1.234",
    "negative": "-1",
    "too much": str(10**12 + 1),
    "object": '{"amount": 1}',
}
_CURRENCIES = ("eur", "XXX", "XTS", "XAU", "€", "EUR\u202e", "EURO", "EU", "", "DEM", "Eur", "ＥＵＲ", " EUR")

NUMBERS: list[Case] = [
    *(
        refused(f"quantity {name}", literally("lines[0].quantity", text), "lines[0].quantity")
        for name, text in _NO_QUANTITY.items()
    ),
    *(refused(f"quantity {name}", literally("lines[0].quantity", text)) for name, text in _NO_JSON.items()),
    *(
        refused(f"amount {name}", literally("lines[0].amount", text), "lines[0].amount")
        for name, text in _NO_AMOUNT.items()
    ),
    *(refused(f"shipping {name}", literally("shipping", text), "shipping") for name, text in _NO_AMOUNT.items()),
    accepted("amount -0 is 0", encoded(document(total=490)).replace(b"2590", b"-0")),
    accepted("a million units", encoded(place("lines[0].quantity", 1_000_000))),
    accepted("the largest amount", encoded(document(lines=[_LINE], total=10**12 + 490))),
    refused("total is 1 too much", encoded(document(total=3_081)), "total"),
    refused("total is 1 too little", encoded(document(total=3_079)), "total"),
    refused("total without the shipping", encoded(document(total=2_590)), "total"),
    refused("total 0", encoded(document(lines=[{**_LINE, "amount": 0}], shipping=0, total=0)), "total"),
    refused(
        "sum beyond the largest total", encoded(document(lines=[_LINE] * 1_000, shipping=1, total=10**15 + 1)), "total"
    ),
    accepted("sum at the largest total", encoded(document(lines=[_LINE] * 1_000, shipping=0, total=10**15))),
    *(refused(f"currency {code!a}", encoded(document(currency=code)), "currency") for code in _CURRENCIES),
    *(accepted(f"currency {code}", encoded(document(currency=code))) for code in ("JPY", "KWD", "EUR", "ZWG")),
    refused("a currency of its own for a line", encoded(place("lines[0].currency", "USD")), "lines[0]"),
    refused("a discount", encoded(place("lines[0].discount", "1.5")), "lines[0]"),
    refused("a tax", encoded(document(tax=-1))),
]
