"""Every hostile document gets its verdict, points at the field, repeats nothing of the input, and costs little."""

import pytest

from infrastructure import codec
from infrastructure.intake import Refusal, parse_order, to_placed
from tests.corpus import ACCEPTED, CASES, REFUSED, Case
from tests.infrastructure.intake.samples import NOW


def test_every_case_has_a_name_of_its_own() -> None:
    assert len({case.id for case in CASES}) == len(CASES) > 400


@pytest.mark.parametrize("case", REFUSED, ids=str)
def test_a_hostile_order_is_refused_at_its_field(case: Case) -> None:
    with pytest.raises(Refusal) as refusal:
        parse_order(case.raw)
    assert case.field in {error.field for error in refusal.value.errors}
    assert all(error.reason for error in refusal.value.errors)


@pytest.mark.parametrize("case", ACCEPTED, ids=str)
def test_an_odd_but_harmless_order_is_accepted_and_can_be_stored(case: Case) -> None:
    placed = to_placed(parse_order(case.raw), NOW)
    name, schema, data = codec.encode(placed)
    assert codec.decode(name, schema, data) == placed


def test_no_word_of_a_refused_value_comes_back() -> None:
    """Values of the corpus that are words of ours (`null`, field names) are no leak."""
    for case in REFUSED:
        with pytest.raises(Refusal) as refusal:
            parse_order(case.raw)
        text = str(refusal.value)
        assert "4111" not in text
        assert "evil" not in text
        assert text.isprintable()
