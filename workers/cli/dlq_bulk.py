"""Decisions about many dead letters: the options that they share, and how they are carried out.

`retry`, `discard` and `restore` take ids, or a filter with `--all-matching`. A bulk decision goes at `--rate`, shows how far it is, stops
cleanly at the first Ctrl-C and then says how many were done and how to go on.
"""

import inspect
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workers.cli.command import Cli, command
from workers.cli.dlq import FILTER_HELP, app, pages, parsed, row
from workers.cli.failures import FAILED, INTERRUPTED, OK, PARTIAL, REFUSED, Usage
from workers.cli.output import cell
from workers.cli.person import person
from workers.cli.progress import progress
from workers.cli.signals import stopping

if TYPE_CHECKING:
    from domain.review import LetterState
    from workers.review import Outcome, Review, Tally
    from workers.review.plan import Person

Chosen = Annotated[
    list[str] | None, typer.Argument(metavar="LETTER... | FILTER...", help=f"ids; or {FILTER_HELP}", show_default=False)
]
Reason = Annotated[
    str, typer.Option("--reason", help="why, for those who come after you (required)", show_default=False)
]
All = Annotated[bool, typer.Option("--all-matching", help="all letters that match the filter, not only named ones")]
Limit = Annotated[int | None, typer.Option(help="with --all-matching: at most so many", min=1, show_default=False)]
Rate = Annotated[
    str | None, typer.Option(help="with --all-matching: so many, as in 50/s or 600/min", show_default=False)
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="say what would happen, and do nothing")]
Yes = Annotated[bool, typer.Option("--yes", help="do not ask before a bulk decision")]


Decide = Callable[["Review", Sequence[int], "Person"], "list[Outcome]"]
REFUSED_SHOWN = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a decision about many was asked with."""

    chosen: list[str]
    reason: str
    everything: bool
    limit: int | None
    rate_text: str | None
    dry_run: bool
    yes: bool

    @property
    def rate(self) -> float | None:
        """Letters a second. Raises `Usage`."""
        return per_second(self.rate_text)

    def ids(self) -> list[int]:
        """The named letters."""
        return ids_of(self.chosen)

    def command(self, verb: str) -> str:
        """The command that goes on."""
        words = ["orderwright", "dlq", verb, "--all-matching", *self.chosen, "--reason", self.reason]
        words += ["--rate", self.rate_text] if self.rate_text else []
        return shlex.join(words)


def bulk(verb: str) -> Callable[[Callable[[Cli, Asked], int]], None]:
    """Register a decision about many as `dlq VERB`, with the options of `_asked`."""

    def register(body: Callable[[Cli, Asked], int]) -> None:
        def run(cli: Cli, **options: Any) -> int:  # noqa: ANN401 - whatever typer parsed
            return body(cli, _asked(**options))

        shared = inspect.signature(_asked).parameters.values()
        first = inspect.Parameter("cli", inspect.Parameter.POSITIONAL_ONLY, annotation=Cli)
        run.__dict__["__signature__"] = inspect.Signature([first, *shared])
        run.__doc__ = body.__doc__
        command(app, verb, data=True)(run)

    return register


def _asked(  # noqa: PLR0913 - one option each
    *,
    chosen: Chosen = None,
    reason: Reason = "",
    all_matching: All = False,
    limit: Limit = None,
    rate: Rate = None,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> Asked:
    per_second(rate)
    return Asked(
        chosen=chosen or [],
        reason=reason,
        everything=all_matching,
        limit=limit,
        rate_text=rate,
        dry_run=dry_run,
        yes=yes,
    )


def ids_of(chosen: Sequence[str]) -> list[int]:
    """Ids, and nothing else. Raises `Usage`."""
    if not chosen:
        raise Usage("name letters by their ids, or choose them by a filter with --all-matching")
    for one in chosen:
        if not (one.isascii() and one.isdecimal() and len(one) <= 15):
            raise Usage(f"{cell(one)[:40]!r} is no id; to choose by a filter, add --all-matching")
    return [int(one) for one in chosen]


def per_second(rate: str | None) -> float | None:
    """`50/s`, `600/min` or `50`. Raises `Usage`."""
    if rate is None:
        return None
    number, _, unit = rate.partition("/")
    sizes = {"": 1.0, "s": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0}
    try:
        value = float(number) / sizes[unit]
    except (ValueError, KeyError):
        value = 0.0
    if not 0.0001 <= value <= 100_000:
        raise Usage(f"--rate {cell(rate)[:40]!r}: write it as 50/s, 600/min or 100/h")
    return value


def change(cli: Cli, verb: str, decide: Decide, asked: Asked, state: "LetterState | None" = None) -> int:
    """Carry out a decision, or only say what it would concern."""
    if asked.dry_run:
        return _count(cli, verb, asked, state)
    who = person_for(asked.reason)
    if not asked.everything:
        if asked.limit or asked.rate:
            raise Usage("--limit and --rate belong to --all-matching")
        ids = asked.ids()
        with cli.runtime() as runtime:
            return tell(cli, decide(runtime.review(), ids, who))
    wanted = parsed(asked.chosen, state)
    with cli.runtime() as runtime:
        review = runtime.review()
        total = review.count(wanted)
        if not total:
            cli.say("no letters match")
            return OK
        _confirm(verb, min(total, asked.limit or total), yes=asked.yes)
        tally = _drive(verb, lambda ids: decide(review, ids, who), review, asked, state)
    return _report(cli, verb, asked, tally)


def _drive(
    verb: str,
    decide: "Callable[[Sequence[int]], list[Outcome]]",
    review: "Review",
    asked: Asked,
    state: "LetterState | None",
) -> "Tally":
    from workers.review import Redrive

    with stopping() as stopper, progress(f"{verb}") as show:
        drive = Redrive(
            pages=review,
            decide=decide,
            wait=stopper.wait,
            rate=asked.rate,
            limit=asked.limit,
            on_progress=show,
        )
        return drive.run(parsed(asked.chosen, state), review.store.now())


def _report(cli: Cli, verb: str, asked: Asked, tally: "Tally") -> int:
    for outcome in tally.refused[:REFUSED_SHOWN]:
        cli.say(f"letter {outcome.letter}: {cell(outcome.words)}")
    if tally.not_done > REFUSED_SHOWN:
        cli.say(f"... and {tally.not_done - REFUSED_SHOWN} more that were not done")
    cli.say(f"{verb}: {tally.done} of {tally.total} letters done, {tally.not_done} not done")
    if tally.stopped:
        cli.say(f"stopped; to go on: {asked.command(verb)}")
        return INTERRUPTED
    if tally.not_done:
        return PARTIAL if tally.done else FAILED
    return OK


def tell(cli: Cli, outcomes: "Sequence[Outcome]") -> int:
    """What became of each letter, and the exit code."""
    for outcome in outcomes:
        cli.say(f"letter {outcome.letter}: {cell(outcome.words)}")
    done = sum(outcome.done for outcome in outcomes)
    return OK if done == len(outcomes) else (PARTIAL if done else REFUSED)


def _confirm(verb: str, count: int, *, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise Usage(f"this would {verb} {count} letters; say --yes, or look first with --dry-run")
    if typer.prompt(f"this will {verb} {count} letters; type the number to go on", err=True) != str(count):
        raise Usage("that was not the number; nothing was done")


def _count(cli: Cli, verb: str, asked: Asked, state: "LetterState | None") -> int:
    with cli.runtime() as runtime:
        review = runtime.review()
        if not asked.everything:
            found = review.letters.get(asked.ids())
            total = len(found)
        else:
            wanted = parsed(asked.chosen, state)
            total = min(review.count(wanted), asked.limit or 2**62)
            found = list(pages(review, wanted, min(total, REFUSED_SHOWN) or 1, 0, oldest=True))
    cli.rows(
        [row(letter) for letter in found], ["id", "state", "where", "order_id", "reason"], empty="no letters match"
    )
    cli.say(f"nothing was done; `{verb}` would concern {total} letters")
    return OK


def person_for(reason: str) -> "Person":
    """Who decides, and why. Raises `Usage` without a reason."""
    from workers.review.plan import Person

    if not reason.strip():
        raise Usage("--reason is missing: say why; it is kept with the decision")
    return Person(by=person(), reason=reason)
