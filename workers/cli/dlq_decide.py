"""`orderwright dlq retry|discard|restore|edit|conclude`: decide about dead letters. Every decision says why and is kept as an event.

What the first three have in common, being decisions about many, is in `dlq_bulk`.
"""

import os
import shlex
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from workers.cli.command import Cli, command
from workers.cli.dlq import LetterId, app, pages, parsed
from workers.cli.dlq_bulk import REFUSED_SHOWN, Asked, Reason, bulk, change, person_for, tell
from workers.cli.failures import OK, REFUSED, Usage
from workers.cli.output import cell

FORESEEN = ["letter", "subject", "would_run", "outlook", "request", "key", "inquires_first", "wants"]
_MOST = 2 * 1024 * 1024


@bulk("retry")
def retry(cli: Cli, asked: Asked) -> int:
    """Give runs back to their orders and messages to the queues that they came from."""
    if asked.dry_run:
        return _foresee(cli, asked)
    return change(cli, "retry", lambda review, ids, who: review.retry(ids, who), asked)


@bulk("discard")
def discard(cli: Cli, asked: Asked) -> int:
    """Say that nothing will be done about letters. They stay, and `restore` takes it back."""
    return change(cli, "discard", lambda review, ids, who: review.discard(ids, who), asked)


@bulk("restore")
def restore(cli: Cli, asked: Asked) -> int:
    """Take a discard back."""
    from domain.review import LetterState

    return change(cli, "restore", lambda review, ids, who: review.restore(ids, who), asked, LetterState.DISCARDED)


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
    who = person_for(reason)
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
    who = person_for(reason)
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
        return tell(cli, review.retry([copy], who))


def _foresee(cli: Cli, asked: Asked) -> int:
    with cli.runtime() as runtime:
        review = runtime.review()
        if asked.everything:
            ids = [
                letter.id
                for letter in pages(review, parsed(asked.chosen), asked.limit or REFUSED_SHOWN, 0, oldest=True)
            ]
            total = review.count(parsed(asked.chosen))
        else:
            ids = asked.ids()
            total = len(ids)
        found = review.foresee(ids)
    cli.rows([asdict(one) for one in found], FORESEEN, empty="no letters match")
    cli.say(f"nothing was done; shown are {len(found)} of {total} letters")
    return OK


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
