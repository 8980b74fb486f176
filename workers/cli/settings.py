"""`orderwright settings`: what changes while the program runs, by whom and why."""

from functools import partial
from itertools import takewhile
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workers.cli.app import group
from workers.cli.command import Cli, command
from workers.cli.failures import Usage
from workers.cli.person import person

if TYPE_CHECKING:
    from collections.abc import Sequence

    from domain.configuration import Change
    from workers.live_changes import Difference, Edit

app = group("settings", "Settings that change while the program runs: look, set, take back.")

LISTED = ["setting", "value", "origin", "version", "by", "since", "why"]
RECORDED = ["version", "at", "who", "why", "changed"]
DIFFERENT = ["setting", "before", "after"]

Reason = Annotated[str, typer.Option("--reason", help="why, for those who come after you; it is recorded")]
Expect = Annotated[
    int | None,
    typer.Option("--expect", help="only if this version is still in force", min=0, show_default=False),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="check it and show what would change; nothing is stored")]
Version = Annotated[
    int, typer.Argument(metavar="VERSION", help="as `settings history` shows it; 0: nothing set", min=0)
]


@command(app, "get", data=True)
def get(cli: Cli, name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="only this one")] = None) -> None:
    """Show every setting that may change: its value, where it comes from, and who set it when and why."""
    from infrastructure.live_settings import known_names

    names = known_names()
    if name is not None and name not in names:
        raise Usage(f"there is no live setting {name!r}; there are {', '.join(names)}")
    with cli.runtime() as runtime:
        changes = runtime.live_changes()
        now = changes.now()
        values, found = runtime.effective(now).shown(), changes.origins(now)
    rows = [_row(cli, one, values[one], found.get(one)) for one in names if name in (None, one)]
    if name is not None:
        cli.object(rows[0])
        return
    cli.rows(rows, LISTED)
    if cli.form == "table":
        cli.say(f"version {now.version}; without a version: as a process is told at its start, here shown for this one")


@command(app, "set", data=True)
def set_values(
    cli: Cli,
    assignments: Annotated[
        list[str],
        typer.Argument(metavar="NAME=VALUE...", help="e.g. paused=label,capture batch=100 rates.payment=20"),
    ],
    reason: Reason,
    expect: Expect = None,
    *,
    dry_run: DryRun = False,
) -> None:
    """Change settings everywhere, within a second. All at once or none."""
    from workers.live_changes import assign

    pairs = [_pair(text) for text in assignments]

    def edit(values: Any) -> Any:  # noqa: ANN401 - a JSON document
        for name, text in pairs:
            values = assign(values, name, text)
        return values

    _change(cli, edit, reason, expect, dry_run=dry_run)


@command(app, "unset", data=True)
def unset(
    cli: Cli,
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="e.g. paused rates.payment")],
    reason: Reason,
    expect: Expect = None,
    *,
    dry_run: DryRun = False,
) -> None:
    """Let settings be as each process was told at its start again."""
    from workers.live_changes import remove

    def edit(values: Any) -> Any:  # noqa: ANN401 - a JSON document
        for name in names:
            values = remove(values, name)
        return values

    _change(cli, edit, reason, expect, dry_run=dry_run)


@command(app, "rollback", data=True)
def rollback(cli: Cli, version: Version, reason: Reason, expect: Expect = None, *, dry_run: DryRun = False) -> None:
    """Put the values of an old version in force again, as a new version."""
    with cli.runtime() as runtime:
        old = runtime.live_changes().at(version)
    _change(cli, lambda _: old.values, reason, expect, dry_run=dry_run)


@command(app, "restore", data=True)
def restore(cli: Cli, reason: Reason) -> None:
    """Put in force again what this host has kept, after etcd was wiped or set back. Run it where the newest version was in force."""
    if not reason.strip():
        raise Usage("--reason: say why")
    with cli.runtime() as runtime:
        revision = runtime.restore_settings(who=person(), why=reason.strip())
    cli.object({"version": revision.version, "values": revision.values})


@command(app, "history", data=True)
def history(
    cli: Cli,
    limit: Annotated[int, typer.Option(help="at most so many", min=1, max=100_000)] = 50,
    before: Annotated[int | None, typer.Option(help="only older than this version: the next page", min=1)] = None,
) -> None:
    """List the changes, the latest first: who made them, when, why, and what they changed."""
    with cli.runtime() as runtime:
        rows = [_recorded(cli, *one) for one in runtime.live_changes().history(limit, before)]
    cli.rows(rows, RECORDED, empty="nothing was ever set")


@command(app, "diff", data=True)
def diff(
    cli: Cli,
    first: Annotated[int | None, typer.Argument(metavar="[V1]", help="a version; 0: nothing set", min=0)] = None,
    second: Annotated[
        int | None, typer.Argument(metavar="[V2]", help="another; without it what is in force", min=0)
    ] = None,
) -> None:
    """Show how two versions differ; without any, what is set now."""
    from workers.live_changes import differences

    with cli.runtime() as runtime:
        changes = runtime.live_changes()
        before = changes.at(first or 0)
        after = changes.now() if second is None else changes.at(second)
    cli.rows(_rows(differences(before.values, after.values)), DIFFERENT, empty="no difference")


@command(app, "watch", data=True)
def watch(
    cli: Cli,
    until: Annotated[int | None, typer.Option("--until", help="end when this version is in force", min=1)] = None,
) -> None:
    """Show changes as they come, beginning with what is in force; ends with Ctrl-C."""
    from workers.cli.output import to_json

    with cli.runtime() as runtime:
        changes, store = runtime.live_changes(), runtime.settings_store()
        seen = max(0, changes.now().version - 1)
        while until is None or seen < until:
            revision = store.wait(seen, 5.0)
            if revision is None:
                continue
            found = changes.history(revision.version - seen, revision.version + 1)
            new = takewhile(partial(_is_newer, seen), found)
            for change, changed in reversed(list(new)):
                row = _recorded(cli, change, changed)
                line = f"version {change.version} by {change.who}: {row['changed']} ({change.why})"
                print(line if cli.form == "table" else to_json(row), flush=True)
            seen = revision.version


def _change(cli: Cli, edit: "Edit", reason: str, expect: int | None, *, dry_run: bool) -> None:
    from workers.live_changes import differences

    if not reason.strip():
        raise Usage("--reason: say why")
    with cli.runtime() as runtime:
        changes = runtime.live_changes()
        if dry_run:
            before, values = changes.foresee(edit)
            found, version = differences(before.values, values), before.version
        else:
            before, after = changes.change(edit, who=person(), why=reason.strip(), expect=expect)
            found, version = differences(before.values, after.values), after.version
    if cli.form == "table":
        cli.rows(_rows(found), DIFFERENT, empty="nothing changes")
        cli.say(f"nothing was stored; in force is version {version}" if dry_run else f"version {version} is in force")
    else:
        cli.object({"version": version, "stored": not dry_run and bool(found), "changed": _rows(found)})


def _is_newer(than: int, one: "tuple[Change, Sequence[Difference]]") -> bool:
    return one[0].version > than


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise Usage(f"{text!r}: write NAME=VALUE")
    return name.strip(), value.strip()


def _row(cli: Cli, name: str, value: object, change: "Change | None") -> dict[str, Any]:
    set_by = {"version": change.version, "by": change.who, "since": change.at, "why": change.why} if change else {}
    origin = "live" if change else cli.loaded[1].get(name, "default")
    return {"setting": name, "value": value, "origin": origin, **dict.fromkeys(LISTED[3:]), **set_by}


def _recorded(cli: Cli, change: "Change", changed: "Sequence[Difference]") -> dict[str, Any]:
    from workers.live_changes import told

    what: object = told(changed) if cli.form == "table" else _rows(changed)
    row = {"version": change.version, "at": change.at, "who": change.who, "why": change.why, "changed": what}
    return row if cli.form == "table" else {**row, "values": change.values}


def _rows(found: "Sequence[Difference]") -> list[dict[str, Any]]:
    return [{"setting": one.name, "before": one.before, "after": one.after} for one in found]
