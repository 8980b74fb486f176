"""The settings in the terms of the roles that they concern."""

import os
import socket
from datetime import timedelta
from pathlib import Path

from domain.breaker import Limits
from domain.process import Policy
from domain.routing import Warehouse
from domain.work import Step
from infrastructure.live_settings import Effective
from infrastructure.settings import Settings, load
from workers.retry import RetryPolicy, RetryTable
from workers.worker_settings import WorkerSettings

CALL_GRACE_S = 5.0  # an inquiry and a request, each with its deadline, and then a while


def worker_settings(now: Effective, name: str, steps: frozenset[Step] = frozenset(Step)) -> WorkerSettings:
    """The part of the settings that a step worker needs, in its own terms."""
    settings = now.settings
    return WorkerSettings(
        name=name,
        steps=steps,
        paused=now.paused,
        batch=settings.batch,
        in_flight=settings.in_flight,
        threads=settings.call_threads,
        lease=timedelta(seconds=settings.lease_s),
        sweep=timedelta(seconds=settings.sweep_s),
        grace=timedelta(seconds=settings.grace_s),
        stuck_after=timedelta(seconds=settings.stuck_s),
        policy=policy(settings),
        retry=retries(settings),
        retry_share=settings.retry_share,
        call_limit=timedelta(seconds=2 * settings.call_deadline_s + CALL_GRACE_S),
        warehouses=warehouses(settings),
    )


def breaker_limits(settings: Settings) -> Limits:
    """The breakers' thresholds; a permit outlives the longest call, which may be an inquiry and an act."""
    return Limits(
        failure_rate=settings.breaker_failure_rate,
        minimum_calls=settings.breaker_minimum_calls,
        window_calls=max(100, settings.breaker_minimum_calls),
        window_s=settings.breaker_window_s,
        slow_s=settings.breaker_slow_call_s,
        slow_rate=settings.breaker_slow_rate,
        open_s=settings.breaker_open_s,
        open_cap_s=max(settings.breaker_open_s, settings.breaker_open_cap_s),
        permits=settings.breaker_probes,
        permit_s=3 * settings.call_deadline_s,
        release_factor=settings.breaker_release_factor,
        release_floor=settings.breaker_release_floor,
    )


def retries(settings: Settings) -> RetryTable:
    """The common retry policy and what differs from it."""
    common = RetryPolicy(
        attempts=settings.attempts,
        base_s=settings.backoff_s,
        cap_s=settings.backoff_cap_s,
        deadline_s=settings.give_up_after_s,
    )
    special = {
        name: RetryPolicy(
            attempts=rule.attempts or common.attempts,
            base_s=rule.backoff_s or common.base_s,
            cap_s=rule.backoff_cap_s or common.cap_s,
            deadline_s=rule.give_up_after_s or common.deadline_s,
        )
        for name, rule in settings.retries.items()
    }
    return RetryTable(common=common, special=special)


def settings_of(file: Path) -> Settings:
    """The settings of one file and nothing else, whatever the environment says."""
    return load(environment={}, file=file)[0]


def policy(settings: Settings) -> Policy:
    """The process manager's durations."""
    return Policy(
        key_window=timedelta(seconds=settings.gateway_key_window_s),
        backorder_recheck=timedelta(seconds=settings.backorder_recheck_s),
        backorder_wait=timedelta(seconds=settings.backorder_wait_s),
        payment_answer=timedelta(seconds=settings.payment_answer_s),
    )


def warehouses(settings: Settings) -> tuple[Warehouse, ...]:
    """The warehouses in order of preference."""
    return tuple(Warehouse(id=place.id, countries=place.countries) for place in settings.warehouses)


def default_name(role: str) -> str:
    """A name that a person recognises: role, host and pid."""
    return f"{role}@{socket.gethostname()}:{os.getpid()}"
