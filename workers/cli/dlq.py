"""`orderwright dlq list|groups|show|export`: look at dead letters. What is done about them is in `dlq_decide`.

Lists never show a message's body; `show` shows its beginning with every control character written out, and `export` writes it as base64.
"""

import base64
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workers.cli.app import group
from workers.cli.command import Cli, command
from workers.cli.failures import Usage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from domain.review import Filter, Letter, LetterState
    from workers.review import Review

app = group("dlq", "Dead letters: runs and messages that a person has to decide about.")

FILTER_HELP = (
    "which letters, all terms must hold: step=capture,void reason~timeout since=2h order=A-1 state=open|any group=1f2e3d4c "
    "kind=message queue=ow_orders cause=OutcomeUnknown until=30m id=7; = and != compare, ~ and !~ look inside"
)
Wanted = Annotated[list[str] | None, typer.Argument(metavar="[FILTER]...", help=FILTER_HELP, show_default=False)]
LetterId = Annotated[int, typer.Argument(metavar="LETTER", help="the id that `dlq list` shows", min=1)]

LISTED = ["id", "state", "kind", "where", "order_id", "attempts", "deaths", "group", "died_at", "reason"]
GROUPED = ["group", "letters", "where", "cause", "first_died_at", "died_at", "example"]
PAGE = 500
SHOWN = 2_000


@command(app, "list", data=True)
def list_letters(
    cli: Cli,
    wanted: Wanted = None,
    limit: Annotated[int, typer.Option(help="at most so many", min=1)] = 100,
    before: Annotated[int, typer.Option(help="only letters with a lower id: the next page", min=0)] = 0,
) -> None:
    """List dead letters, the newest first; open ones unless the filter names a state."""
    with cli.runtime() as runtime:
        review, matching = runtime.review(), parsed(wanted)
        if cli.form == "jsonl":
            cli.rows((row(letter) for letter in pages(review, matching, limit, before)), LISTED)
            return
        found = list(pages(review, matching, limit, before))
        total = review.count(matching) if len(found) == limit else len(found)
    cli.rows([row(letter) for letter in found], LISTED, empty="no dead letters")
    if total > len(found):
        cli.say(f"{len(found)} of {total}; the next page: --before {found[-1].id}, or `dlq groups` for an overview")


@command(app, "groups", data=True)
def groups(
    cli: Cli, wanted: Wanted = None, limit: Annotated[int, typer.Option(help="at most so many", min=1)] = 50
) -> None:
    """Count dead letters by cause: the class of the error, its words without ids and numbers, and the step or queue."""
    with cli.runtime() as runtime:
        found = runtime.review().groups(parsed(wanted), limit=limit)
    rows = [{**asdict(one), "where": one.place} for one in found]
    cli.rows(rows, GROUPED, empty="no dead letters")
    if found and cli.form == "table":
        cli.say(f"one group: `orderwright dlq list group={found[0].group}`")


@command(app, "show", data=True)
def show(cli: Cli, letter_id: LetterId) -> None:
    """Show all about one letter: what happened, who decided what, and what a retry would do."""
    with cli.runtime() as runtime:
        review = runtime.review()
        letter = review.letter(letter_id)
        [foreseen] = review.foresee([letter_id])
        advice = review.advice(letter)
        history = [
            {
                "at": event.recorded_at,
                "type": type(event.event).__name__,
                "by": event.event.by,
                "note": event.event.note,
            }
            for event in review.history(letter)
        ]
    full = {**row(letter), **_whole(letter), "retry_would": asdict(foreseen), "history": history, "advice": advice}
    if cli.form != "table":
        cli.object(full)
        return
    cli.object({key: value for key, value in full.items() if key not in {"retry_would", "history", "advice"}})
    print("\nA RETRY WOULD")
    cli.object({key: value for key, value in asdict(foreseen).items() if value not in ("", (), None)})
    if history:
        print("\nWHAT WAS DECIDED")
        cli.rows(history, ["at", "type", "by", "note"])
    if advice:
        print(f"\nWHAT TO DO\n{advice}")


@command(app, "export")
def export(
    cli: Cli,
    wanted: Wanted = None,
    limit: Annotated[int | None, typer.Option(help="at most so many", min=1, show_default=False)] = None,
) -> None:
    """Write letters as JSON lines to standard output, bodies as base64. They may hold names and addresses of customers."""
    from workers.cli.output import to_json

    cli.say("note: bodies and labels may hold personal data; keep the file as you keep your orders")
    count = 0
    with cli.runtime() as runtime:
        review = runtime.review()
        for letter in pages(review, parsed(wanted), limit, 0, oldest=True):
            [whole] = review.letters.get([letter.id])
            print(to_json({**row(whole), **_whole(whole, encoded=True)}))
            count += 1
    cli.say(f"{count} letters")


def parsed(wanted: list[str] | None, state: "LetterState | None" = None) -> "Filter":
    """The filter that the words make together; open letters unless they name a state."""
    from domain.review import LetterState
    from workers.review.filters import BadFilter, parse_filter

    try:
        return parse_filter(" ".join(wanted or []), now=datetime.now(UTC), state=state or LetterState.OPEN)
    except BadFilter as bad:
        raise Usage(str(bad)) from None


def pages(
    review: "Review", wanted: "Filter", limit: int | None, after: int, *, oldest: bool = False
) -> "Iterator[Letter]":
    """Letters page by page, so that tens of thousands need no memory."""
    left = limit
    while left is None or left > 0:
        page = review.page(wanted, after=after, limit=min(PAGE, left or PAGE), newest=not oldest)
        yield from page
        if len(page) < min(PAGE, left or PAGE):
            return
        after = page[-1].id
        left = left if left is None else left - len(page)


def row(letter: "Letter") -> dict[str, Any]:
    """A letter as plain data, without its body."""
    run = letter.run
    return {
        "id": letter.id,
        "state": letter.state.value,
        "kind": letter.kind,
        "where": letter.place,
        "order_id": run.order_id if run else None,
        "step": run.step.value if run else None,
        "part": run.part if run else None,
        "ordinal": run.ordinal if run else None,
        "attempts": letter.attempts,
        "deaths": letter.deaths,
        "reason": letter.reason,
        "cause": letter.cause,
        "group": letter.group,
        "origin": letter.origin,
        "size": letter.size,
        "first_tried_at": letter.first_tried_at,
        "first_died_at": letter.first_died_at,
        "died_at": letter.died_at,
        "original_of": letter.original_of,
        "noted_by": letter.noted_by,
        "noted_at": letter.noted_at,
        "noted_reason": letter.noted_reason,
    }


def _whole(letter: "Letter", *, encoded: bool = False) -> dict[str, Any]:
    if letter.run is not None:
        return {}
    body = letter.body or b""
    labels = {"message_id": letter.message_id, "sha256": letter.sha256, "headers": dict(letter.headers)}
    if encoded:
        return {**labels, "body_base64": base64.b64encode(body).decode(), "body_is_whole": letter.is_whole}
    return {**labels, "body": body[:SHOWN].decode("utf-8", "backslashreplace")}
