"""Settings: where they come from, and what is said about those that are wrong."""

from pathlib import Path

import pytest

from domain.errors import Misconfigured
from infrastructure.settings import RetrySettings, Settings, WarehouseSettings, load

DEFAULTS = Settings.model_validate({})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "orderwright.toml"
    path.write_text('batch = 10\nin_flight = 11\nlease_s = 12.5\n[[warehouses]]\nid = "BERLIN"\ncountries = ["DE"]\n')
    return path


def test_without_anything_the_defaults_hold() -> None:
    settings, origins = load(environment={}, file=None)
    assert settings == DEFAULTS
    assert set(origins.values()) == {"default"}


def test_flags_come_before_the_environment_before_the_file(file: Path) -> None:
    environment = {"ORDERWRIGHT_BATCH": "20", "ORDERWRIGHT_IN_FLIGHT": "21"}
    settings, origins = load({"batch": 30, "lease_s": None}, environment=environment, file=file)
    assert (settings.batch, settings.in_flight, settings.lease_s) == (30, 21, 12.5)
    assert [origins[name] for name in ("batch", "in_flight", "lease_s", "sweep_s")] == [
        "flag",
        "environment",
        str(file),
        "default",
    ]


def test_the_environment_names_the_file(file: Path) -> None:
    settings, _ = load(environment={"ORDERWRIGHT_CONFIG": str(file)})
    assert settings.warehouses == (WarehouseSettings(id="BERLIN", countries=("DE",)),)


def test_warehouses_are_written_in_one_line_in_the_environment() -> None:
    settings, _ = load(environment={"ORDERWRIGHT_WAREHOUSES": "BERLIN:DE,AT;LEEDS:GB;OSLO"})
    assert [(place.id, place.countries) for place in settings.warehouses] == [
        ("BERLIN", ("DE", "AT")),
        ("LEEDS", ("GB",)),
        ("OSLO", ()),
    ]


def test_the_usual_name_of_the_database_is_known_and_ours_comes_first() -> None:
    settings, _ = load(environment={"DATABASE_URL": "postgresql://a", "ORDERWRIGHT_DATABASE_URL": "postgresql://b"})
    assert settings.database_url is not None
    assert settings.database_url.get_secret_value() == "postgresql://b"


def test_secrets_are_not_shown(file: Path) -> None:
    settings, _ = load(
        {"database_url": "postgresql://u:hunter2@h/d", "broker_url": "amqp://u:hunter2@h"}, environment={}
    )
    for shown in (repr(settings), str(settings.model_dump()), settings.model_dump_json()):
        assert "hunter2" not in shown


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ({"batch": 0}, "batch (flag)"),
        ({"batch": "many"}, "batch (flag)"),
        ({"lease_s": -1}, "lease_s (flag)"),
        ({"lease_s": float("nan")}, "lease_s (flag)"),
        ({"lease_s": float("inf")}, "lease_s (flag)"),
        ({"log_level": "loud"}, "log_level (flag)"),
        ({"warehouses": ()}, "warehouses (flag)"),
        ({"warehouses": [{"id": "A+B"}]}, "warehouses.0.id (flag)"),
    ],
)
def test_a_value_that_cannot_be_is_named_with_its_origin(flags: dict[str, object], says: str) -> None:
    with pytest.raises(Misconfigured) as refusal:
        load(flags, environment={})
    assert says in str(refusal.value)


def test_every_problem_is_said_at_once() -> None:
    with pytest.raises(Misconfigured) as refusal:
        load({"batch": 0, "attempts": 0}, environment={})
    assert "batch" in str(refusal.value)
    assert "attempts" in str(refusal.value)


def test_a_refusal_does_not_repeat_a_secret() -> None:
    with pytest.raises(Misconfigured) as refusal:
        load({"database_url": ["hunter2"]}, environment={})
    assert "hunter2" not in str(refusal.value)


def test_an_unknown_setting_is_refused_with_the_nearest_known_one(tmp_path: Path) -> None:
    path = tmp_path / "o.toml"
    path.write_text("bach = 3\n")
    with pytest.raises(Misconfigured, match="unknown setting 'bach'; did you mean batch?"):
        load(environment={}, file=path)


def test_variables_of_others_are_left_alone_even_if_a_cluster_puts_our_name_before_them() -> None:
    environment = {"PATH": "/bin", "ORDERWRIGHT_SERVICE_HOST": "10.0.0.1", "ORDERWRIGHT_REQUIRE_RABBITMQ": "1"}
    assert load(environment=environment)[0] == DEFAULTS


@pytest.mark.parametrize("text", ["batch = 1\nbatch = 2\n", "batch = \n", "\xff"])
def test_a_file_that_cannot_be_read_is_refused_by_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "o.toml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(Misconfigured, match="o.toml"):
        load(environment={}, file=path)


def test_a_file_that_was_asked_for_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="no such file"):
        load(environment={}, file=tmp_path / "none.toml")


@pytest.mark.parametrize("value", ["postgresql://h/d\nx", "a\0b"])
def test_a_line_break_in_a_variable_is_refused(value: str) -> None:
    with pytest.raises(Misconfigured, match="ORDERWRIGHT_DATABASE_URL"):
        load(environment={"ORDERWRIGHT_DATABASE_URL": value})


def test_an_empty_list_of_warehouses_is_refused() -> None:
    with pytest.raises(Misconfigured, match="names no warehouse"):
        load(environment={"ORDERWRIGHT_WAREHOUSES": ";"})


def test_settings_do_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        DEFAULTS.batch = 3


def test_warehouses_are_written_in_one_line_in_the_file_too(tmp_path: Path) -> None:
    path = tmp_path / "orderwright.toml"
    path.write_text('warehouses = "BERLIN:DE,AT;LEEDS:GB"\n')
    settings, _ = load(environment={}, file=path)
    assert [place.id for place in settings.warehouses] == ["BERLIN", "LEEDS"]


def test_a_country_of_a_warehouse_is_a_code() -> None:
    with pytest.raises(Misconfigured, match=r"warehouses\.0\.countries\.0"):
        load({"warehouses": "BERLIN:GERMANY"}, environment={})


def test_retries_of_a_dependency_or_a_step_have_rules_of_their_own() -> None:
    text = "payment:attempts=3,backoff_cap_s=7;label:give_up_after_s=60"
    settings, _ = load(environment={"ORDERWRIGHT_RETRIES": text})
    assert settings.retries == {
        "payment": RetrySettings(attempts=3, backoff_cap_s=7.0),
        "label": RetrySettings(give_up_after_s=60.0),
    }


@pytest.mark.parametrize("text", ["paymint:attempts=3", "payment:tries=3", "payment:attempts", "payment:attempts=0"])
def test_a_rule_for_retries_that_means_nothing_is_refused(text: str) -> None:
    with pytest.raises(Misconfigured, match="retries"):
        load(environment={"ORDERWRIGHT_RETRIES": text})
