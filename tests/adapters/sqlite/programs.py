"""Programs that tests run as processes of their own: to hold a store, to fill a disk, to be somebody without rights."""

import asyncio
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

from adapters.sqlite import SqliteEventStore
from bus.core.errors import BusError, StoreUnavailable
from bus.core.stored import NewEvent
from tests.contracts.entries import NOON, entry

ROOT = Path(__file__).resolve().parents[3]
NOBODY = 65_534
LIMIT_BYTES = 400_000


def start(program: str, path: Path) -> subprocess.Popen[str]:
    """Runs one of the programs below; it says JSON, a line at a time, and listens to its standard input."""
    command = [sys.executable, "-m", "tests.adapters.sqlite.programs", program, str(path)]
    return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def answer(process: subprocess.Popen[str]) -> Any:
    """The next thing the program says."""
    line = _pipe(process.stdout).readline()
    assert line, f"the program ended with {process.wait()}"
    return json.loads(line)


def run(program: str, path: Path) -> Any:
    """What the program says, once it has ended."""
    with start(program, path) as process:
        said = answer(process)
    assert process.returncode == 0
    return said


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe


def _say(what: object) -> None:
    print(json.dumps(what), flush=True)


def hold(path: Path) -> None:
    """Opens the store, records one event, and holds it until its standard input ends."""

    async def main() -> None:
        async with SqliteEventStore(path) as store:
            await store.append([entry("a-1", 0, "c1")], NOON)
            _say("open")
            await asyncio.to_thread(sys.stdin.read)

    asyncio.run(main())


def fill(path: Path) -> None:
    """Appends until no file may grow, then once more when it may."""
    # The system answers a write beyond the limit with an error then, as it does when a disk is full.
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    payload = [NewEvent("something", b"x" * 1_000)]

    async def main() -> None:
        acknowledged = 0
        errors: list[str] = []
        async with SqliteEventStore(path) as store:
            hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
            resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT_BYTES, hard))
            while len(errors) < 3:
                batch = [entry(f"a-{acknowledged + n}", 0, f"c{acknowledged + n}", payload) for n in range(16)]
                try:
                    await store.append(batch, NOON)
                    acknowledged += 16
                except StoreUnavailable as error:
                    errors.append(str(error))
            readable = len(await store.page(0, 100_000))
            resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
            await store.append(batch, NOON)
            again = [entry("a-0", 1, "more")]
            before = (await store.append(again, NOON)).position_before
        _say({"acknowledged": acknowledged, "errors": errors, "readable": readable, "before": before})

    asyncio.run(main())


def unprivileged(path: Path) -> None:
    """Tries to open, as somebody who may read it but not write it, what is there and what is not."""

    async def attempt(store: SqliteEventStore) -> dict[str, object]:
        try:
            async with store:
                return {"head": await store.head()}
        except BusError as error:
            return {"error": type(error).__name__, "message": str(error)}

    # What is imported only when first used may not be readable any more afterwards.
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(attempt(SqliteEventStore(Path(folder) / "x.db")))
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    _say(
        {
            "write": asyncio.run(attempt(SqliteEventStore(path))),
            "create": asyncio.run(attempt(SqliteEventStore(path.parent / "new.db"))),
            "read": asyncio.run(attempt(SqliteEventStore(path, read_only=True))),
        }
    )


PROGRAMS: Mapping[str, Callable[[Path], None]] = {"hold": hold, "fill": fill, "unprivileged": unprivileged}

if __name__ == "__main__":
    PROGRAMS[sys.argv[1]](Path(sys.argv[2]))
