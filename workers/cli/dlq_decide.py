"""`orderwright dlq retry|discard|restore|edit|conclude`: decide about dead letters. Every decision says why and is kept as an event.

`retry`, `discard` and `restore` take ids, or a filter with `--all-matching`. A bulk decision goes at `--rate`, shows how far it is, stops
cleanly at the first Ctrl-C and then says how many were done and how to go on.
"""

import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workers.cli.command import Cli, command
from workers.cli.dlq import FILTER_HELP, LetterId, app, pages, parsed, row
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
FORESEEN = ["letter", "subject", "would_run", "outlook", "request", "key", "inquires_first", "wants"]
REFUSED_SHOWN = 20
_MOST = 2 * 1024 * 1024


@command(app, "retry", data=True)
def retry(  # noqa: PLR0913 - one option each
    cli: Cli,
    *,
    chosen: Chosen = None,
    reason: Reason = "",
    all_matching: All = False,
    limit: Limit = None,
    rate: Rate = None,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> int:
    """Give runs back to their orders and messages to the queues that they came from."""
    if dry_run:
        return _foresee(cli, chosen, limit, all_matching=all_matching)
    return _change(
        cli,
        "retry",
        lambda review, ids, who: review.retry(ids, who),
        _Request(chosen, reason, all_matching, limit, rate, yes),
    )


@command(app, "discard", data=True)
def discard(  # noqa: PLR0913 - one option each
    cli: Cli,
    *,
    chosen: Chosen = None,
    reason: Reason = "",
    all_matching: All = False,
    limit: Limit = None,
    rate: Rate = None,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> int:
    """Say that nothing will be done about letters. They stay, and `restore` takes it back."""
    asked = _Request(chosen, reason, all_matching, limit, rate, yes)
    if dry_run:
        return _count(cli, "discard", asked, None)
    return _change(cli, "discard", lambda review, ids, who: review.discard(ids, who), asked)


@command(app, "restore", data=True)
def restore(  # noqa: PLR0913 - one option each
    cli: Cli,
    *,
    chosen: Chosen = None,
    reason: Reason = "",
    all_matching: All = False,
    limit: Limit = None,
    rate: Rate = None,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> int:
    """Take a discard back."""
    from domain.review import LetterState

    asked = _Request(chosen, reason, all_matching, limit, rate, yes)
    if dry_run:
        return _count(cli, "restore", asked, LetterState.DISCARDED)
    decide: Decide = lambda review, ids, who: review.restore(ids, who)  # noqa: E731 - the twin of the other two
    return _change(cli, "restore", decide, asked, LetterState.DISCARDED)


@command(app, "conclude")
def conclude(
    cli: Cli,
    letter_id: LetterId,
    happened: Annotated[
        bool | None,
        typer.Option("--happened/--did-not-happen", help="what the other side's books say", show_default=False),
    ] = None,
    reference: Annotated[str, typer.Option(help="what the other side calls it, if it happened")] = "",
    reason: Reason = "",
) -> int:
    """Record what you found out about an operation whose outcome nobody knew: it happened, or it did not."""
    if happened is None:
        raise Usage("say what you found out: --happened with --reference, or --did-not-happen")
    who = _person(reason)
    with cli.runtime() as runtime:
        outcome = runtime.review().conclude(letter_id, happened, reference, who)
    cli.say(f"letter {letter_id}: {cell(outcome.words)}")
    return OK if outcome.done else REFUSED


@command(app, "edit")
def edit(
    cli: Cli,
    *,
    letter_id: LetterId,
    file: Annotated[Path | None, typer.Option(help="the new body; - is standard input", show_default=False)] = None,
    reason: Reason = "",
    then_retry: Annotated[bool, typer.Option("--retry", help="send the copy at once")] = False,
) -> int:
    """Make a copy of a message with another body: in $EDITOR, from a file or from standard input.

    It must be what its queue takes, or nothing is changed. The original stays as it came; the copy is linked to it.
    """
    who = _person(reason)
    with cli.runtime() as runtime:
        review = runtime.review()
        body = _new_body(review.letter(letter_id).body or b"", file)
        if body is None:
            cli.say("nothing was changed")
            return OK
        copy = review.edit(letter_id, body, who)
        cli.say(f"letter {copy} is the edited copy of {letter_id}")
        if not then_retry:
            cli.say(f"send it: orderwright dlq retry {copy} --reason {shlex.quote(reason)}")
            return OK
        return _tell(cli, review.retry([copy], who))


class _Request:
    """What a decision about many was asked with."""

    def __init__(
        self, chosen: list[str] | None, reason: str, everything: bool, limit: int | None, rate: str | None, yes: bool
    ) -> None:
        self.chosen = chosen or []
        self.reason = reason
        self.everything = everything
        self.limit = limit
        self.rate = per_second(rate)
        self.rate_text = rate
        self.yes = yes

    def ids(self) -> list[int]:
        """The named letters."""
        return ids_of(self.chosen)

    def command(self, verb: str) -> str:
        """The command that goes on."""
        words = ["orderwright", "dlq", verb, "--all-matching", *self.chosen, "--reason", self.reason]
        words += ["--rate", self.rate_text] if self.rate_text else []
        return shlex.join(words)


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


def _change(cli: Cli, verb: str, decide: Decide, asked: _Request, state: "LetterState | None" = None) -> int:
    who = _person(asked.reason)
    if not asked.everything:
        if asked.limit or asked.rate:
            raise Usage("--limit and --rate belong to --all-matching")
        ids = asked.ids()
        with cli.runtime() as runtime:
            return _tell(cli, decide(runtime.review(), ids, who))
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
    asked: _Request,
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


def _report(cli: Cli, verb: str, asked: _Request, tally: "Tally") -> int:
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


def _tell(cli: Cli, outcomes: "Sequence[Outcome]") -> int:
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


def _foresee(cli: Cli, chosen: list[str] | None, limit: int | None, *, all_matching: bool) -> int:
    with cli.runtime() as runtime:
        review = runtime.review()
        if all_matching:
            ids = [letter.id for letter in pages(review, parsed(chosen), limit or REFUSED_SHOWN, 0, oldest=True)]
            total = review.count(parsed(chosen))
        else:
            ids = ids_of(chosen or [])
            total = len(ids)
        found = review.foresee(ids)
    cli.rows([asdict(one) for one in found], FORESEEN, empty="no letters match")
    cli.say(f"nothing was done; shown are {len(found)} of {total} letters")
    return OK


def _count(cli: Cli, verb: str, asked: _Request, state: "LetterState | None") -> int:
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


def _person(reason: str) -> "Person":
    from workers.review.plan import Person

    if not reason.strip():
        raise Usage("--reason is missing: say why; it is kept with the decision")
    return Person(by=person(), reason=reason)


def _new_body(old: bytes, file: Path | None) -> bytes | None:
    if file is not None:
        return sys.stdin.buffer.read(_MOST) if str(file) == "-" else file.read_bytes()[:_MOST]
    if not sys.stdin.isatty():
        raise Usage("there is no terminal for an editor: use --file, with - for standard input")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "message.json")
        path.write_bytes(old)
        _open_editor(path)
        new = path.read_bytes()
    return None if new == old else new


def _open_editor(path: Path) -> None:
    words = shlex.split(os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi")
    if subprocess.call([*words, str(path)]) != 0:
        raise Usage(f"{words[0]} ended with an error; nothing was changed")
