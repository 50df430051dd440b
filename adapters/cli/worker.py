"""Worker: serves an application on standard input and output, from opening its stores to an orderly end."""

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager, redirect_stdout, suppress
from types import FrameType
from typing import TYPE_CHECKING, Final

import anyio

from adapters.cli import stores
from adapters.cli.applications import DEMO, load_application
from adapters.cli.failures import Failure, Refused
from adapters.cli.logs import write_entries
from adapters.cli.pipes import Input, Output
from adapters.cli.serving import Serving
from bus import Application, Bus

if TYPE_CHECKING:
    from adapters.cli.stores import EventStore, ViewStore

NOTICE: Final = b"doubledecker: stopping when everything in flight is answered; a second signal ends it at once\n"


def worker(*, app: str = DEMO, store: str, views: str | None = None) -> None:
    """Take commands as NDJSON on standard input, answer each on standard output.

    Parameters
    ----------
    app
        The application, as MODULE:NAME; modules of the current directory are found. By default the demo's.
    store
        The event store, such as sqlite:///flights.db; memory: is forgotten at the end.
    views
        Where the read models are kept; by default beside the event store.
    """
    if sys.stdin is None or sys.stdout is None:
        raise Refused("standard input or output is closed: connect both, the commands come and the answers go there")
    source, output = sys.stdin.fileno(), sys.stdout.fileno()
    # Whatever the application prints must not come between the answers.
    with redirect_stdout(sys.stderr):
        application = load_application(app)
        write_entries()
        event_store = stores.event_store(store)
        view_store = stores.view_store(views or stores.views_beside(store))
        # The application lives as long as the process: no collection of garbage need look at it again.
        gc.collect()
        gc.freeze()
        anyio.run(serve, application, event_store, view_store, source, output)


async def serve(
    application: Application, event_store: "EventStore", view_store: "ViewStore", source: int, output: int
) -> None:
    """Serves until the end of the input or a signal.

    Raises `Unusable`; `BrokenPipeError` where nobody reads the answers any more, and `Failure` where they cannot be
    written or the commands cannot be read. Both come when every command that was taken is finished.
    """
    failure: OSError | None = None
    reading = anyio.CancelScope()
    with stopped_by_signals(reading.cancel):
        async with Bus(application, event_store=event_store, view_store=view_store) as bus:
            try:
                await Serving(bus, source=Input(source), output=Output(output), reading=reading).run()
            except OSError as error:
                # The bus is closed in good order all the same.
                failure = error
    if isinstance(failure, BrokenPipeError):
        raise failure
    if failure is not None:
        raise Failure(f"stopped: {failure.strerror or failure}. Every command that was taken is finished") from failure


@contextmanager
def stopped_by_signals(stop: Callable[[], None]) -> Generator[None, None, None]:
    """The first SIGINT or SIGTERM calls `stop` on the event loop; the second ends the process, whatever it is doing."""
    loop = asyncio.get_running_loop()
    is_stopping = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal is_stopping
        if is_stopping:
            os._exit(128 + number)
        is_stopping = True
        # The handler interrupts the loop's thread anywhere, so that even a loop that is stuck can be ended.
        loop.call_soon_threadsafe(stop)
        with suppress(OSError):
            os.write(2, NOTICE)

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
