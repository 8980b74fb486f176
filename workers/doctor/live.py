"""What somebody has set while the program runs: what stands still because of it, and who does not go by it."""

from collections.abc import Iterator

from domain.configuration import Change, Revision
from domain.errors import CommandRefused
from infrastructure.live_settings import Effective
from workers.bootstrap import Runtime
from workers.doctor.findings import Finding


def examine(runtime: Runtime) -> Iterator[Finding]:
    """The version in force, pauses, and processes that are behind."""
    changes = runtime.live_changes()
    now = changes.now()
    yield from _lost(runtime, now)
    try:
        effective = runtime.effective(now)
    except CommandRefused as refused:
        why = f"version {now.version} is not understood by this version of the program: {refused.reason}"
        fix = "upgrade, or orderwright settings rollback VERSION --reason ..."
        yield Finding(check="settings", state="fail", why=why, fix=fix)
        return
    yield from _standing_still(effective, changes.origins(now))
    yield _followers(
        now.version, {known: count for known, count in runtime.settings_followers().items() if known < now.version}
    )


def _lost(runtime: Runtime, now: Revision) -> Iterator[Finding]:
    kept = runtime.kept_settings().load()
    if kept is not None and kept.version > now.version:
        why = f"this host has seen version {kept.version}, the store has {now.version}: changes were lost"
        path = runtime.kept_settings().path
        fix = (
            "orderwright settings restore --reason ..."
            if runtime.settings.coordination_url is not None
            else f"set them again until they are newer, or remove {path} and restart"
        )
        yield Finding(check="lost settings", state="fail", why=why, fix=fix)


def _standing_still(effective: Effective, origins: dict[str, Change]) -> Iterator[Finding]:
    if effective.paused:
        why = f"{', '.join(sorted(effective.paused))}: paused {_by(origins['paused'])}"
        fix = "orderwright settings unset paused --reason ..."
        yield Finding(check="paused steps", state="warn", why=why, fix=fix)
    if not effective.intake_open:
        why = f"no new orders are taken in: closed {_by(origins['intake_open'])}"
        fix = "orderwright settings unset intake_open --reason ..."
        yield Finding(check="intake", state="warn", why=why, fix=fix)


def _followers(version: int, behind: dict[int, int]) -> Finding:
    """Whoever is behind for longer than a moment refused the version, or hangs."""
    if behind:
        why = f"{sum(behind.values())} processes do not know version {version} yet, the oldest knows {min(behind)}"
        return Finding(
            check="settings", state="warn", why=why, fix="look again; then restart them, and look into their logs"
        )
    return Finding(check="settings", state="ok", why=f"version {version}" if version else "as each process was told")


def _by(change: Change) -> str:
    return f"since {change.at:%Y-%m-%d %H:%M} UTC by {change.who}: {change.why}"
