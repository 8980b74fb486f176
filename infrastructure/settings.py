"""One frozen model of everything that a process is told at its start; nothing else reads the environment.

Precedence: flags > environment > `orderwright.toml` > defaults. `load` also tells the origin of every value, for
`orderwright config show --origin`. An unknown key is an error that names the nearest known one. A secret may lie in a file instead:
`ORDERWRIGHT_<NAME>_FILE`, or `<name>_file` in `orderwright.toml`.
"""

import os
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError

from domain.errors import Misconfigured
from domain.work import DEPENDENCY, Step
from infrastructure.secret_files import FileText

PREFIX = "ORDERWRIGHT_"
FILE = "orderwright.toml"
_ALIASES = {"DATABASE_URL": "database_url", "DATABASE_URL_FILE": "database_url_file"}

Seconds = Annotated[float, Field(gt=0, le=10_000_000)]
Count = Annotated[int, Field(ge=1, le=100_000)]
Share = Annotated[float, Field(gt=0, le=1)]
Attempts = Annotated[int, Field(ge=1, le=100)]
Country = Annotated[str, Field(pattern=r"^[A-Z]{2}$")]
Identifier = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.]{0,31}$")]


def _retried(name: str) -> str:
    known = sorted({*DEPENDENCY.values(), *Step})
    if name not in known:
        raise ValueError(f"there is nothing of that name to retry; there are {', '.join(known)}")
    return name


class WarehouseSettings(BaseModel):
    """A place that sends parcels; it is first choice for its countries."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Identifier
    countries: tuple[Country, ...] = ()


class RetrySettings(BaseModel):
    """How a dependency or a step is retried, where that differs from the common rule."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    attempts: Attempts | None = None
    backoff_s: Seconds | None = None
    backoff_cap_s: Seconds | None = None
    give_up_after_s: Seconds | None = None


RETRIES = {
    "payment": RetrySettings(attempts=20, backoff_cap_s=300.0),
    "mail": RetrySettings(give_up_after_s=6 * 3_600.0),
}


class Settings(BaseModel):
    """Process settings. Secrets are masked wherever they are shown."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    database_url: SecretStr | None = Field(
        None, description="PostgreSQL 14 or newer; none: an own server in data_dir (extra `embedded`)"
    )
    direct_url: SecretStr | None = Field(
        None, description="the same database past a connection pooler; for migrations, beacons, rebuilds and queues"
    )
    replica_url: SecretStr | None = Field(
        None, description="a streaming replica, or several: lists and read models are read there while it keeps up"
    )
    replica_lag_s: Seconds = Field(10.0, description="a replica that is further behind is not asked")
    replica_wait_s: Seconds = Field(5.0, description="how long to wait there for what is to be seen (--at-least)")
    broker_url: SecretStr = Field(
        SecretStr("pgmq://"),
        description="pgmq:// (the same database), amqp://, amqps:// (several nodes with `;`), memory:// (one process)",
    )
    broker_ca: Path | None = Field(
        None, description="amqps://: who signs the brokers' certificates; none: the system's"
    )
    broker_cert: Path | None = Field(None, description="amqps://: our own certificate, where brokers ask for it")
    broker_key: Path | None = Field(None, description="amqps://: the key of that certificate")
    message_keys_file: Path | None = Field(
        None, description="keys that sign messages: id and secret a line, the first signs, all are taken"
    )
    coordination_url: str | None = Field(
        None,
        description="where leases and live settings are: etcd://host:port,host:port or etcds://...; none: Postgres",
    )
    etcd_prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")] = Field(
        "orderwright", description="first part of all keys in etcd; one for each database"
    )
    etcd_ca: Path | None = Field(None, description="certificates (PEM) that etcd's servers are verified by")
    etcd_cert: Path | None = Field(None, description="our certificate (PEM) for etcd")
    etcd_key: Path | None = Field(None, description="the key (PEM) of that certificate")
    etcd_user: str | None = Field(None, description="etcd's user, where it asks for one")
    etcd_password: SecretStr | None = Field(None, description="the password of that user")
    gateway_url: str | None = Field(None, description="the outside world's base URL; see `orderwright simulator`")
    data_dir: Path = Field(Path(".orderwright"), description="the embedded server and other files of this installation")
    runtime_dir: Path | None = Field(
        None,
        description="a folder of this process alone, for the heartbeat that `orderwright health` reads; none: no heartbeat",
    )
    visibility_timeout_s: Annotated[int, Field(ge=1, le=3600)] = Field(
        30, description="pgmq:// only: when a message that nobody acknowledged is given out again"
    )
    log_format: Literal["auto", "pretty", "json"] = Field("auto", description="auto: pretty on a terminal, else JSON")
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    call_deadline_s: Seconds = Field(5.0, description="one call to the outside, from first to last byte")
    call_threads: Annotated[int, Field(ge=0, le=1000)] = Field(
        16, description="calls at once to each dependency; 0: one after the other, by the worker itself"
    )
    batch: Count = Field(200, description="orders in one append")
    in_flight: Count = Field(1000, description="runs that a worker holds at once")
    lease_s: Seconds = Field(10.0, description="how long a silent worker keeps its runs")
    sweep_s: Seconds = Field(2.0, description="how often a worker looks for due work that nobody announced")
    grace_s: Seconds = Field(25.0, description="how long a stopping process may finish what it began")
    stuck_s: Seconds = Field(120.0, description="a worker that gets no further for so long ends its process")

    attempts: Attempts = Field(8, description="tries of a run before it is a dead letter")
    backoff_s: Seconds = Field(0.5, description="ceiling of the first wait; it doubles, with full jitter")
    backoff_cap_s: Seconds = Field(60.0, description="ceiling of every wait")
    give_up_after_s: Seconds = Field(86_400.0, description="after that since its first failure a run is tried no more")
    retries: dict[Annotated[str, AfterValidator(_retried)], RetrySettings] = Field(
        RETRIES,
        description="other rules for a dependency or a step, e.g. payment:attempts=20,backoff_cap_s=300;mail:attempts=5",
    )
    retry_share: Annotated[float, Field(ge=0, le=1)] = Field(
        0.1, description="of the calls to a dependency so many may be retries; the rest waits longer, at no cost"
    )

    breaker_failure_rate: Share = Field(
        0.5, description="part of the last calls that fails before nobody calls any more"
    )
    breaker_minimum_calls: Count = Field(20, description="calls in the window before that part means anything")
    breaker_window_s: Seconds = Field(30.0, description="how old a call may be that counts (the last 100 at most)")
    breaker_slow_call_s: Seconds = Field(4.0, description="a call that takes so long is slow")
    breaker_slow_rate: Share = Field(
        0.8, description="part of the last calls that is slow before nobody calls any more"
    )
    breaker_open_s: Seconds = Field(2.0, description="the first wait before probes; it grows with every failure")
    breaker_open_cap_s: Seconds = Field(15.0, description="ceiling of that wait")
    breaker_probes: Annotated[int, Field(ge=1, le=100)] = Field(
        3, description="probes at a time, of all workers together"
    )
    breaker_release_factor: Annotated[float, Field(ge=0.1, le=100)] = Field(
        1.25, description="how fast waiting runs are released afterwards, in terms of the rate that was normal"
    )
    breaker_release_floor: Annotated[float, Field(ge=0.1, le=100_000)] = Field(
        2.0, description="runs a second that are released at least"
    )

    gateway_key_window_s: Seconds = Field(
        86_400.0,
        description="how long the gateways remember idempotency keys; past 90 % of it nothing is asked for again",
    )
    payment_answer_s: Seconds = Field(3 * 86_400.0, description="how long a customer may answer a declined payment")
    backorder_wait_s: Seconds = Field(30 * 86_400.0, description="how long an order waits for stock")
    backorder_recheck_s: Seconds = Field(
        3_600.0, description="how often a waiting order is planned anew without new stock"
    )
    warehouses: tuple[WarehouseSettings, ...] = Field(
        (WarehouseSettings(id="MAIN"),), min_length=1, description="where goods are sent from, most preferred first"
    )


def load(
    flags: Mapping[str, Any] | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    file: Path | None = None,
) -> tuple[Settings, dict[str, str]]:
    """The settings and where each value is from. Raises `Misconfigured` with every problem, field by field."""
    environment = os.environ if environment is None else environment
    values: dict[str, Any] = {}
    origins = dict.fromkeys(Settings.model_fields, "default")
    path = file or Path(environment.get(f"{PREFIX}CONFIG", FILE))
    for origin, found in (
        (str(path), _from_file(path, must_exist=file is not None)),
        ("environment", _from_environment(environment)),
        ("flag", {name: value for name, value in (flags or {}).items() if value is not None}),
    ):
        secrets = _from_secret_files(found, origin)
        _refuse_unknown(found, origin)
        if isinstance(places := found.get("warehouses"), str):
            found["warehouses"] = _warehouses(origin, places)
        if isinstance(rules := found.get("retries"), str):
            found["retries"] = _retries(rules)
        values |= found | secrets
        origins |= dict.fromkeys(found, origin) | {name: str(text.path) for name, text in secrets.items()}
    try:
        return Settings.model_validate({name: _hidden(value) for name, value in values.items()}), origins
    except ValidationError as error:
        problems = "; ".join(_problem(one, origins) for one in error.errors(include_input=False, include_url=False))
        raise Misconfigured(f"settings: {problems}") from None


def _from_file(path: Path, *, must_exist: bool) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if must_exist:
            raise Misconfigured(f"settings file {path}: there is no such file") from None
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise Misconfigured(f"settings file {path}: {error}") from None


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {field: environment[name] for name, field in _ALIASES.items() if environment.get(name)}
    for name, text in environment.items():
        field = name.removeprefix(PREFIX).lower()
        if name.startswith(PREFIX) and (field in Settings.model_fields or field in _secret_files()):
            if "\n" in text or "\0" in text:
                raise Misconfigured(f"environment {name}: has a line break or NUL in it")
            found[field] = text
    return found


def _secret_files() -> dict[str, str]:
    """What names the file of a secret, and which one: whatever is a `SecretStr` may come from a file."""
    fields = Settings.model_fields.items()
    secret = [name for name, field in fields if SecretStr in {field.annotation, *get_args(field.annotation)}]
    return {f"{name}_file": name for name in secret if f"{name}_file" not in Settings.model_fields}


def _from_secret_files(found: dict[str, Any], origin: str) -> dict[str, FileText]:
    """Take the names of files out and give what they say."""
    secrets = {}
    for name, field in _secret_files().items():
        if path := found.pop(name, None):
            if field in found:
                raise Misconfigured(f"{origin}: {field} and {name} are both set: which one?")
            secrets[field] = FileText.read(Path(str(path)))
    return secrets


def _hidden(value: object) -> object:
    """What is from a file goes through the validation as it is: it knows its file."""
    return SecretStr(value) if isinstance(value, FileText) else value


def _warehouses(origin: str, text: str) -> list[dict[str, Any]]:
    """`BERLIN:DE,AT;LEEDS:GB`: ids with the countries that they are first choice for."""
    places = []
    for part in filter(None, text.split(";")):
        place, _, countries = part.partition(":")
        places.append({"id": place.strip(), "countries": tuple(filter(None, countries.split(",")))})
    if not places:
        raise Misconfigured(f"warehouses ({origin}): names no warehouse; write ID:COUNTRY,COUNTRY;ID")
    return places


def _retries(text: str) -> dict[str, dict[str, str]]:
    """`payment:attempts=20,backoff_cap_s=300;mail:attempts=5`."""
    rules = {}
    for part in filter(None, text.split(";")):
        name, _, values = part.partition(":")
        pairs = (pair.partition("=") for pair in filter(None, values.split(",")))
        rules[name.strip()] = {field.strip(): value.strip() for field, _, value in pairs}
    return rules


def _refuse_unknown(found: Mapping[str, Any], origin: str) -> None:
    for name in found:
        if name not in Settings.model_fields:
            near = get_close_matches(name, Settings.model_fields, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise Misconfigured(f"{origin}: unknown setting {name!r}{hint}")


def _problem(error: Mapping[str, Any], origins: Mapping[str, str]) -> str:
    place = ".".join(str(part) for part in error["loc"])
    origin = origins.get(str(error["loc"][0]), "?") if error["loc"] else "?"
    return f"{place} ({origin}): {error['msg']}"
