"""Workers: processes of `doubledecker worker`, spoken to through pipes."""

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, cast

import anyio

from adapters.sqlite import SqliteEventStore
from bus.core.stored import StoredEvent
from tests.adapters.cli.processes import MAIN
from tests.architecture.tree import ROOT


class Worker:
    """A worker that runs; whoever starts it reads everything it answers."""

    def __init__(
        self, *arguments: str, folder: Path, stdin: int = subprocess.PIPE, stdout: int = subprocess.PIPE
    ) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", MAIN, "worker", *arguments],
            cwd=folder,
            # The source tree is found wherever the worker is started.
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=stdin,
            stdout=stdout,
            stderr=subprocess.PIPE,
        )

    @property
    def stdin(self) -> IO[bytes]:
        return cast(IO[bytes], self.process.stdin)

    @property
    def stdout(self) -> IO[bytes]:
        return cast(IO[bytes], self.process.stdout)

    @property
    def stderr(self) -> IO[bytes]:
        return cast(IO[bytes], self.process.stderr)

    def write(self, *lines: dict[str, Any] | bytes) -> None:
        self.stdin.write(b"".join([one if isinstance(one, bytes) else encoded(one) for one in lines]))
        self.stdin.flush()

    def feed(self, lines: Iterable[dict[str, Any]]) -> threading.Thread:
        """Writes from a thread, until the lines end or the worker does not want them any more."""

        def run() -> None:
            with suppress(BrokenPipeError):
                for line in lines:
                    self.write(line)
                self.stdin.close()

        thread = threading.Thread(target=run)
        thread.start()
        return thread

    def answer(self) -> dict[str, Any]:
        line = self.stdout.readline()
        assert line.endswith(b"\n"), f"no answer, but {line!r}"
        answer: dict[str, Any] = json.loads(line)
        return answer

    def answers(self) -> list[dict[str, Any]]:
        """All answers up to the end."""
        return [json.loads(line) for line in self.stdout]

    def finish(self) -> tuple[int, str]:
        """Ends the input and waits for the end: the exit code, and what was said on standard error."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        said = self.said().decode()
        return self.process.wait(60), said

    def said(self) -> bytes:
        """What is said on standard error up to its end, besides the entries on opening and closing."""
        return b"".join([line for line in self.stderr if not _is_routine(line)])

    def said_next(self) -> bytes:
        """The next line of that."""
        return next((line for line in self.stderr if not _is_routine(line)), b"")


def _is_routine(line: bytes) -> bool:
    return re.match(rb'\{"timestamp": "[^"]+", "level": "info", "event": "bus (opened|closed)"', line) is not None


@contextmanager
def worker(
    *arguments: str, folder: Path, stdin: int = subprocess.PIPE, stdout: int = subprocess.PIPE
) -> Iterator[Worker]:
    """A worker that is killed if the test has not brought it to its end."""
    running = Worker(*arguments, folder=folder, stdin=stdin, stdout=stdout)
    try:
        yield running
    finally:
        running.process.kill()
        running.process.wait()
        for stream in (running.process.stdin, running.process.stdout, running.process.stderr):
            if stream is not None:
                with suppress(BrokenPipeError):
                    stream.close()


def encoded(line: dict[str, Any]) -> bytes:
    return json.dumps(line).encode() + b"\n"


def recorded(path: Path) -> list[StoredEvent]:
    """All events of a store."""

    async def read() -> list[StoredEvent]:
        async with SqliteEventStore(path, read_only=True) as store:
            return list(await store.page(0, 1_000_000))

    return anyio.run(read)
