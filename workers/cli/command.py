"""How a command is made: a function that gets a `Cli` first, and the options that all commands share.

`command` gives the function a signature with the shared options added, runs it inside the error boundary, and makes its return value
the exit code. So every command has the same `--data-dir`, `--config` and `--output`, in any place after its name, and none can end
in a traceback for an error that was raised on purpose.
"""

import functools
import inspect
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from domain.errors import OrderwrightError
from workers.cli import failures
from workers.cli.output import Format, Row, emit_object, emit_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from infrastructure.settings import Settings
    from workers.bootstrap import Runtime

PANEL = "Settings"


def setting(name: str, kind: type, about: str, env: str) -> Any:  # noqa: ANN401 - an annotation for typer
    """The annotation of an option that is a setting; where it is not given, the environment and the file decide."""
    option = typer.Option(name, help=f"{about} (env {env})", rich_help_panel=PANEL, show_default=False)
    return Annotated[kind | None, option]


AtLeast = Annotated[int, typer.Option(help="wait until the read model has reached this position", min=0)]

SHARED: dict[str, Any] = {
    "data_dir": setting("--data-dir", Path, "folder of the embedded server", "ORDERWRIGHT_DATA_DIR"),
    "database_url": setting("--database-url", str, "use this PostgreSQL instead", "DATABASE_URL"),
    "broker_url": setting("--broker-url", str, "pgmq://, amqp://, memory://", "ORDERWRIGHT_BROKER_URL"),
    "log_level": setting("--log-level", str, "debug, info, warning, error", "ORDERWRIGHT_LOG_LEVEL"),
    "log_format": setting("--log-format", str, "auto, pretty, json", "ORDERWRIGHT_LOG_FORMAT"),
}
GATEWAY: dict[str, Any] = {
    "gateway_url": setting("--gateway-url", str, "the outside world's base URL", "ORDERWRIGHT_GATEWAY_URL"),
}
CONFIG: dict[str, Any] = {
    "config": setting("--config", Path, "settings file instead of orderwright.toml", "ORDERWRIGHT_CONFIG")
}
OUTPUT: dict[str, Any] = {
    "output": Annotated[Format, typer.Option("--output", "-o", help="how data is written to standard output")],
    "json": Annotated[bool, typer.Option("--json", help="the same as --output json")],
}


@dataclass(kw_only=True)
class Cli:
    """What a command works with: the settings, the runtime, and the two ways to speak."""

    flags: dict[str, Any] = field(default_factory=dict)
    config: Path | None = None
    form: Format = "table"

    @cached_property
    def loaded(self) -> "tuple[Settings, dict[str, str]]":
        """The settings and the origin of each."""
        from infrastructure.settings import load

        urls = [str(self.flags.get(name, "")) for name in ("database_url", "broker_url")]
        if any("password" in url or "@" in url for url in urls):
            self.say(
                "a password on the command line can be seen by everybody on this machine; set DATABASE_URL or ORDERWRIGHT_BROKER_URL instead"
            )
        return load(self.flags, file=self.config)

    @property
    def settings(self) -> "Settings":
        """The effective settings."""
        return self.loaded[0]

    @contextmanager
    def runtime(self) -> "Iterator[Runtime]":
        """The composition root, closed at the end; logging is set up first."""
        self.start_logging()
        from workers.bootstrap import Runtime

        with Runtime(self.settings) as runtime:
            yield runtime

    def start_logging(self) -> None:
        """To standard error: pretty on a terminal, else JSON."""
        from infrastructure import logs

        settings = self.settings
        pretty = settings.log_format == "pretty" or (settings.log_format == "auto" and sys.stderr.isatty())
        logs.configure(pretty=pretty, level=settings.log_level)

    def log_quietly(self) -> None:
        """Errors only: what happens is shown in another way."""
        from infrastructure import logs

        logs.configure(pretty=sys.stderr.isatty(), level="error")

    def rows(self, rows: "Iterable[Row]", columns: "Sequence[str]", *, empty: str = "nothing there") -> None:
        """Data: many of a kind."""
        emit_rows(rows, columns, self.form, empty=empty)

    def object(self, value: Row) -> None:
        """Data: one thing."""
        emit_object(value, self.form)

    @staticmethod
    def say(message: str) -> None:
        """A message, never data."""
        from infrastructure.logs import printable

        sys.stderr.write("\n".join(printable(line) for line in message.split("\n")) + "\n")


Body = Callable[..., int | None]


def command(
    app: typer.Typer, name: str, *, data: bool = False, settings: Mapping[str, Any] | None = None
) -> Callable[[Body], Body]:
    """Register a function as a command; `data` adds --output, `settings` more options that are settings."""

    def register(body: Body) -> Body:
        app.command(name)(_wrapped(body, OUTPUT if data else {}, {**(settings or {}), **SHARED}))
        return body

    return register


def _wrapped(body: Body, output: Mapping[str, Any], settings: Mapping[str, Any]) -> Callable[..., None]:
    own = list(inspect.signature(body, eval_str=True).parameters.values())[1:]
    defaults: dict[str, Any] = {"output": "table", "json": False}

    @functools.wraps(body)
    def run(**values: Any) -> None:  # noqa: ANN401 - whatever typer parsed
        flags = {name: str(value) for name in settings if (value := values.pop(name)) is not None}
        form = values.pop("output", "table")
        cli = Cli(flags=flags, config=values.pop("config"), form="json" if values.pop("json", False) else form)
        _bounded(lambda: body(cli, **values))

    parameters = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own]
    parameters += [
        inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=defaults.get(key), annotation=annotation)
        for key, annotation in {**output, **settings, **CONFIG}.items()
    ]
    run.__dict__["__signature__"] = inspect.Signature(parameters)
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    del run.__dict__["__wrapped__"]  # or typer would read the signature of `body`
    return run


def _bounded(body: Callable[[], int | None]) -> None:
    """Run; what was raised on purpose becomes a sentence and a code."""
    try:
        code = body() or 0
        sys.stdout.flush()
    except OrderwrightError as error:
        Cli.say(f"orderwright: {failures.sentence(error)}")
        code = failures.exit_code(error)
    except BrokenPipeError:
        _write_to_nobody()
        code = failures.OK
    except OSError as error:
        Cli.say(f"orderwright: {failures.sentence(error)}")
        code = failures.FAILED
    except KeyboardInterrupt:
        Cli.say("interrupted")
        code = failures.INTERRUPTED
    raise typer.Exit(code)


def _write_to_nobody() -> None:
    """A reader that has seen enough (`| head`) is no failure; what is still buffered must not fail again at the exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
