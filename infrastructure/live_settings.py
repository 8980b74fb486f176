"""What may change while the program runs, and what it comes to on top of what a process was told at its start.

`LiveSettings` has those fields of `Settings` that can be applied at any moment, with the very same bounds, each of them optional, and
a few that only make sense live: which steps are paused, how fast dependencies may be asked, whether orders are taken in. What is not
set is as each process was told. Types are strict: a document comes from a program, and `true` is no number.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic_core import PydanticCustomError

from domain.configuration import Revision, Value
from domain.errors import CommandRefused
from domain.work import DEPENDENCY, Step
from infrastructure.settings import RetrySettings, Settings

SHARED = (
    "attempts",
    "backoff_s",
    "backoff_cap_s",
    "give_up_after_s",
    "retries",
    "retry_share",
    *(name for name in Settings.model_fields if name.startswith("breaker_")),
    "call_threads",
    "batch",
    "in_flight",
    "sweep_s",
)
PAIRS = (("backoff_s", "backoff_cap_s"), ("breaker_open_s", "breaker_open_cap_s"))


def _dependency(name: str) -> str:
    known = sorted(set(DEPENDENCY.values()))
    if name not in known:
        raise PydanticCustomError(
            "unknown", "there is no dependency of that name; there are {known}", {"known": ", ".join(known)}
        )
    return name


def _once(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    return tuple(sorted(set(steps)))


class _OnlyLive(BaseModel):
    """What a process cannot be told at its start."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    paused: Annotated[tuple[Step, ...], AfterValidator(_once)] | None = Field(
        None, description="steps whose work nobody begins: it waits where it is, and loses no attempt"
    )
    rates: dict[Annotated[str, AfterValidator(_dependency)], Annotated[float, Field(ge=0.1, le=100_000)]] | None = (
        Field(None, description="runs a second that all workers together begin for a dependency, e.g. rates.payment=20")
    )
    intake_open: bool | None = Field(None, description="false: no new orders are taken in; those that are in go on")


def _optional(name: str) -> tuple[Any, Any]:
    """The same field with the same bounds, or nothing."""
    field = Settings.model_fields[name]
    annotation: Any = field.annotation
    bounded = Annotated[annotation, *field.metadata] if field.metadata else annotation
    return bounded | None, Field(None, description=field.description)


LiveSettings = create_model("LiveSettings", __base__=_OnlyLive, **{name: _optional(name) for name in SHARED})  # type: ignore[call-overload]


@dataclass(frozen=True, slots=True, kw_only=True)
class Effective:
    """What holds now: the settings of the process with one version of the live ones over them."""

    version: int = 0
    settings: Settings
    paused: frozenset[Step] = frozenset()
    rates: Mapping[str, float]
    intake_open: bool = True

    def shown(self) -> dict[str, Any]:
        """Every setting that may change, as plain data."""
        ours = {"paused": sorted(self.paused), "rates": dict(self.rates), "intake_open": self.intake_open}
        return {**self.settings.model_dump(mode="json", include=set(SHARED), exclude_none=True), **ours}


def effective(process: Settings, revision: Revision) -> Effective:
    """Raises `CommandRefused` where this version of the program does not understand a value."""
    live = _checked(revision.values)
    shared = {name: value for name in SHARED if (value := getattr(live, name)) is not None}
    if "retries" in shared:
        shared["retries"] = _merged(process.retries, shared["retries"])
    return Effective(
        version=revision.version,
        settings=process.model_copy(update=shared),
        paused=frozenset(live.paused or ()),
        rates=dict(live.rates or {}),
        intake_open=live.intake_open is not False,
    )


def _merged(process: Mapping[str, RetrySettings], live: Mapping[str, RetrySettings]) -> dict[str, RetrySettings]:
    """A live rule takes the place of what it names, and of nothing else."""
    changed = {
        name: process.get(name, RetrySettings()).model_copy(update=rule.model_dump(exclude_none=True))
        for name, rule in live.items()
    }
    return {**process, **changed}


def accepted(process: Settings, values: Mapping[str, Value]) -> dict[str, Value]:
    """The document as it is to be stored. Raises `CommandRefused` with every problem, field by field.

    `process` is what whoever changes was told at its start: a value must make sense together with the rest of them as well.
    """
    live = _checked(values)
    problems = list(_contradictions(live, effective(process, Revision(values=values)).settings))
    if problems:
        raise CommandRefused(f"settings: {'; '.join(problems)}")
    stored: dict[str, Value] = live.model_dump(mode="json", exclude_none=True)
    return _pruned(stored)


def _pruned(values: dict[str, Value]) -> dict[str, Value]:
    """Without what is empty: a rule that says nothing is no rule."""
    kept = {name: _pruned(value) if isinstance(value, dict) else value for name, value in values.items()}
    return {name: value for name, value in kept.items() if value != {}}


def known_names() -> dict[str, str]:
    """Every setting that may change, with what it is about."""
    return {name: field.description or "" for name, field in sorted(LiveSettings.model_fields.items())}


def _checked(values: Mapping[str, Value]) -> Any:  # noqa: ANN401 - of a model whose fields are those of another
    try:
        return LiveSettings.model_validate_json(json.dumps(values), strict=True)
    except ValidationError as error:
        problems = "; ".join(_problem(one) for one in error.errors(include_input=False, include_url=False))
        raise CommandRefused(f"settings: {problems}") from None


def _problem(error: Mapping[str, Any]) -> str:
    place = ".".join(str(part) for part in error["loc"] if part != "[key]")
    if error["type"] != "extra_forbidden":
        return f"{place}: {error['msg'].removeprefix('Value error, ')}"
    if place in Settings.model_fields:
        return f"{place}: is told to a process at its start, and cannot change while it runs"
    near = get_close_matches(place, LiveSettings.model_fields, n=1)
    return f"{place}: there is no such setting{f'; did you mean {near[0]}?' if near else ''}"


def _contradictions(live: Any, settings: Settings) -> Iterator[str]:  # noqa: ANN401 - see `_checked`
    """Waits that would begin above their ceiling, as far as they are set here."""
    for low, high in PAIRS:
        if getattr(live, low) is not None or getattr(live, high) is not None:
            yield from _not_above(low, getattr(settings, low), getattr(settings, high), high)
    for name in live.retries or {}:
        rule = settings.retries[name]
        first, most = rule.backoff_s or settings.backoff_s, rule.backoff_cap_s or settings.backoff_cap_s
        yield from _not_above(f"retries.{name}.backoff_s", first, most, f"retries.{name}.backoff_cap_s")


def _not_above(name: str, low: float, high: float, ceiling: str) -> Iterator[str]:
    if low > high:
        yield f"{name}: would be {low:g}, more than {ceiling}, which would be {high:g}"
