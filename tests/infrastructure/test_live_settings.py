"""What may change while the program runs, what is refused, and what it comes to."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.configuration import Revision
from domain.errors import CommandRefused
from domain.work import Step
from infrastructure.live_settings import SHARED, Effective, LiveSettings, accepted, effective
from infrastructure.settings import RetrySettings, Settings

TOLD = Settings.model_validate({})


@pytest.mark.parametrize("name", SHARED)
def test_a_live_setting_has_the_bounds_of_the_one_at_the_start(name: str) -> None:
    ours, theirs = (
        LiveSettings.model_json_schema()["properties"][name],
        Settings.model_json_schema()["properties"][name],
    )
    [bounds] = [one for one in ours["anyOf"] if one != {"type": "null"}]
    meta = {"default", "title", "description"}
    assert {key: value for key, value in theirs.items() if key not in meta} == bounds
    assert ours["description"] == theirs["description"]


def test_without_anything_set_everything_is_as_the_process_was_told() -> None:
    told = Settings.model_validate({"attempts": 3, "batch": 7})
    now = effective(told, Revision())
    assert now == Effective(settings=told, rates={})


def test_what_is_set_takes_the_place_of_what_was_told_and_nothing_else() -> None:
    told = Settings.model_validate({"attempts": 3, "batch": 7})
    values: Any = {"attempts": 5, "paused": ["label"], "rates": {"payment": 20}, "intake_open": False}
    now = effective(told, Revision(version=4, values=values))
    assert now.settings == told.model_copy(update={"attempts": 5})
    assert (now.version, set(now.paused), now.rates, now.intake_open) == (4, {Step.LABEL}, {"payment": 20.0}, False)


def test_a_rule_for_retries_changes_only_what_it_names() -> None:
    told = Settings.model_validate(
        {"retries": {"payment": RetrySettings(attempts=20, backoff_cap_s=300.0), "mail": RetrySettings(attempts=2)}}
    )
    now = effective(
        told, Revision(version=1, values={"retries": {"payment": {"attempts": 3}, "risk": {"attempts": 4}}})
    )
    assert now.settings.retries == {
        "payment": RetrySettings(attempts=3, backoff_cap_s=300.0),
        "mail": RetrySettings(attempts=2),
        "risk": RetrySettings(attempts=4),
    }


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"attempts": 500}, "attempts: Input should be less than or equal to 100"),
        ({"attempts": "5"}, "attempts: Input should be a valid integer"),
        ({"attempts": True}, "attempts: Input should be a valid integer"),
        ({"intake_open": 0}, "intake_open: Input should be a valid boolean"),
        ({"paused": ["lable"]}, "paused.0: Input should be 'risk'"),
        ({"rates": {"bank": 5}}, "rates.bank: there is no dependency of that name"),
        ({"rates": {"payment": 0}}, "rates.payment: Input should be greater than or equal to 0.1"),
        ({"retries": {"bank": {}}}, "retries.bank: there is nothing of that name to retry"),
        ({"retries": {"payment": {"attempts": 0}}}, "retries.payment.attempts: Input should be greater"),
        ({"backof_s": 1}, "backof_s: there is no such setting; did you mean backoff_s?"),
        ({"database_url": "x"}, "database_url: is told to a process at its start"),
        ({"attempts": 0, "batch": 0}, "attempts: .*; batch: "),
        ({"backoff_s": 10, "backoff_cap_s": 5}, "backoff_s: would be 10, more than backoff_cap_s, which would be 5"),
        ({"backoff_s": 61}, "backoff_s: would be 61, more than backoff_cap_s, which would be 60"),
        ({"breaker_open_cap_s": 1}, "breaker_open_s: would be 2, more than breaker_open_cap_s, which would be 1"),
        ({"retries": {"payment": {"backoff_s": 301}}}, "retries.payment.backoff_s: would be 301, more than"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_field_and_the_reason(values: Any, problem: str) -> None:
    with pytest.raises(CommandRefused, match=problem):
        accepted(TOLD, values)


def test_a_secret_in_a_wrong_place_is_not_repeated() -> None:
    with pytest.raises(CommandRefused) as refused:
        accepted(TOLD, {"attempts": "hunter2", "database_url": "postgresql://u:hunter2@h/d"})
    assert "hunter2" not in str(refused.value)


def test_what_a_process_was_told_is_its_own_affair() -> None:
    odd = Settings.model_validate({"backoff_s": 100, "backoff_cap_s": 50})
    assert accepted(odd, {"batch": 5}) == {"batch": 5}


def test_what_is_stored_says_nothing_about_what_is_not_set() -> None:
    assert accepted(TOLD, {"attempts": None, "rates": {}, "retries": {"mail": {}}, "paused": ["label"]}) == {
        "paused": ["label"]
    }


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "attempts": st.integers(1, 100),
            "retry_share": st.floats(0, 1),
            "paused": st.lists(st.sampled_from([step.value for step in Step])),
            "rates": st.dictionaries(st.sampled_from(["payment", "mail"]), st.floats(0.1, 100_000)),
            "intake_open": st.booleans(),
        },
    )
)
def test_what_is_accepted_is_accepted_again_as_it_is(values: dict[str, Any]) -> None:
    stored = accepted(TOLD, values)
    assert accepted(TOLD, stored) == stored
    assert effective(TOLD, Revision(version=1, values=stored)) == effective(TOLD, Revision(version=1, values=values))
