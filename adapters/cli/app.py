"""App: the commands by name, each imported only when it is asked for, and one place where errors become messages."""

import sys
from collections.abc import Callable, Sequence
from importlib import metadata
from importlib.util import find_spec
from typing import Annotated, Final

import cyclopts
from rich.console import Console
from rich.text import Text

from adapters.cli.failures import Failure, Refused
from bus import BusError, StoreUnavailable, Unreadable, Unusable

_WORKER: Final = """Take commands as NDJSON on standard input, answer each on standard output.

Each line is one command, such as {"type": "depart-flight", "flight_id": "...", "at": "..."}, with a "command_id" where
it may have to be sent again. The answers come in the order of the lines, many lines being in flight at a time:
{"line": 1, "receipt": {...}} or {"line": 1, "error": {"code": "...", "message": "..."}}.

The end of the input, SIGTERM and Ctrl-C end the worker when everything in flight is answered; a second signal ends it
at once. What it has to say itself goes to standard error.
"""

COMMANDS: Final = {
    "demo": ("adapters.demo:demo", "Play flight records through the bus and show what the read models make of them."),
    "worker": ("adapters.cli.worker:worker", _WORKER),
    "check": ("adapters.cli.check:check", "Check an application before it runs."),
    "golden": ("adapters.cli.golden:golden", "Keep stored bytes of each kind of event, to be read for ever."),
    "simulate": (
        "adapters.cli.simulate:simulate",
        "Run an application through seeded histories in which everything goes wrong, and check every promise.",
    ),
    "dead-letters": (
        "adapters.cli.dead_letters:app",
        "Look at the events that projections have given up, and retry or discard them.",
    ),
    "projections": (
        "adapters.cli.projections:app",
        "See how far behind every view is, and let views be built anew, switched to, or dropped.",
    ),
    "why": (
        "adapters.cli.why:why",
        "Tell what led to something that was recorded, what came of it, and which views show it.",
    ),
    "export": ("adapters.cli.export:export", "Write recorded events as NDJSON to standard output."),
}
"""Where each command is, and what it does; nothing is imported for `--help`."""

_DEMO_NEEDS: Final = ("adapters.demo", "adapters.flights", "domain", "readmodels")


def execute(arguments: Sequence[str], *, prepare: Callable[[], None] | None = None) -> int:
    """Runs a command line; `prepare` is called when everything is imported, just before the command."""
    for argument in arguments:
        if not _is_text(argument):
            print(f"doubledecker: {argument!r} is not UTF-8: rename the file", file=sys.stderr)
            return 2
    errors = Console(stderr=True, soft_wrap=True)
    try:
        command, bound, _ = build().parse_args(list(arguments), exit_on_error=False, error_console=errors)
    except cyclopts.CycloptsError:
        return 2  # It is printed already.
    if prepare is not None:
        prepare()
    try:
        result = command(*bound.args, **bound.kwargs)
    except (Failure, BusError) as error:
        if sys.stdout is not None:
            sys.stdout.flush()
        print(f"doubledecker: {in_one_line(str(error))}", file=sys.stderr)
        return exit_code(error)
    return result if isinstance(result, int) else 0


def build() -> cyclopts.App:
    """The commands; one whose module is not installed says so when it is called."""
    app = cyclopts.App(
        name="doubledecker",
        help="A message bus for CQRS and event sourcing: one deck writes, one deck reads.",
        version=lambda: metadata.version("doubledecker"),
        version_flags=["--version"],
        error_formatter=_shown,
    )
    for name, (path, summary) in COMMANDS.items():
        if name == "demo" and not all(_is_installed(module) for module in _DEMO_NEEDS):
            app.command(_demo_is_missing, name=name, help=summary)
        elif _is_installed(path.partition(":")[0]):
            app.command(path, name=name, help=summary)
    return app


def exit_code(error: Failure | BusError) -> int:
    """2 for what could not be asked or opened, 1 for what failed on the way."""
    if isinstance(error, Failure):
        return error.exit_code
    if isinstance(error, Unreadable) and error.missing:
        return 2
    return 2 if isinstance(error, Unusable) and not isinstance(error, StoreUnavailable) else 1


def in_one_line(message: str) -> str:
    """The message with its line ends as blanks, and without what a terminal would obey: names come from anywhere."""
    line = " ".join(message.split())
    return line if line.isprintable() else "".join([one if one.isprintable() else ascii(one)[1:-1] for one in line])


def _shown(error: cyclopts.CycloptsError) -> Text:
    return Text(f"doubledecker: {in_one_line(str(error))} Try --help.")


def _is_text(argument: str) -> bool:
    """Whether it can be encoded again, in messages and in JSON; bytes that are no UTF-8 come as lone surrogates."""
    try:
        argument.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _demo_is_missing(*arguments: Annotated[str, cyclopts.Parameter(allow_leading_hyphen=True)]) -> None:
    del arguments
    raise Refused(
        "the demo is not part of the installed package: get the source tree and run `make demo` there; "
        "here `worker --app MODULE:NAME` serves your own application"
    )
