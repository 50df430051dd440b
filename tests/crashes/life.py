"""Life: one worker from its start to its SIGKILL or its end, kept busy by a client that takes notes."""

import os
import re
import selectors
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import msgspec

from tests.crashes.notes import Line, Notes
from tests.crashes.nursery import Nursery

PATIENCE_S = 60
"""A worker that says nothing for so long hangs."""

LOOK_S = 0.01
"""How often it is looked whether something else than an answer has come."""


class Moment(msgspec.Struct, frozen=True):
    """When to kill: when all that is named has come."""

    answers: int = 0
    """Answers that were read."""
    answer_bytes: int = 0
    """Bytes of answers that were read, mostly in the middle of one."""
    lines: int = 0
    """Lines that were written."""
    delay_s: float = 0.0
    """And so much later."""
    is_closing: bool = False
    """The worker is first told that no more lines come, so that it dies while it finishes or closes its stores."""


class Life:
    """Starts a worker, in a nursery of `tests.crashes.worker`. `in_flight` lines are sent and not answered at a time.

    It may say nothing on standard error but its routine, and warnings of the events in `may_say`.
    """

    def __init__(
        self,
        nursery: Nursery,
        arguments: Sequence[str],
        *,
        folder: Path,
        notes: Notes,
        in_flight: int,
        may_say: Sequence[str] = (),
    ) -> None:
        self._notes = notes
        events = "|".join(
            ["bus opened", "bus closed", "projection is run here", "projection goes on in another process", *may_say]
        )
        self._may_say = re.compile(rf'\{{"timestamp": "[^"]+", "level": "(info|warning)", "event": "({events})"')
        self._in_flight_max = in_flight
        self._said = (folder / "stderr").open("w+b")
        self._started = time.monotonic()
        stdin, to_worker = os.pipe()
        from_worker, stdout = os.pipe()
        self._stdin: IO[bytes] = os.fdopen(to_worker, "wb", buffering=0)
        self._stdout: IO[bytes] = os.fdopen(from_worker, "rb", buffering=0)
        try:
            self._process = nursery.start(
                arguments, folder=folder, stdin=stdin, stdout=stdout, stderr=self._said.fileno()
            )
        finally:
            os.close(stdin)
            os.close(stdout)
        os.set_blocking(self._stdin.fileno(), False)
        self._waiting: deque[Line] = deque()
        self._unwritten = memoryview(b"")
        self._unread = b""
        self._versions: dict[str, int] = {}
        self._has_ended = False
        """Whether it has closed its output."""
        self.answers = 0
        self.answer_bytes = 0
        self.lines = 0
        self.first_answer_s: float | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._stdin, self._stdout, self._said):
            with suppress(BrokenPipeError):
                pipe.close()

    def kill(self, lines: Iterator[Line], moment: Moment) -> int:
        """Keeps the worker busy until then; returns how many lines were in flight when it was killed."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._stdout, selectors.EVENT_READ)
            while not self._has_come(moment):
                left = moment.answer_bytes - self.answer_bytes if moment.answer_bytes else None
                self._exchange(selector, lines, PATIENCE_S, left)
            if moment.is_closing:
                self._stdin.close()
            until = time.monotonic() + moment.delay_s
            while (left_s := until - time.monotonic()) > 0 and not self._has_ended:
                self._exchange(selector, lines, left_s)
        self._process.kill()
        in_flight = len(self._waiting)
        self._read_rest()
        self._notes.died()
        self._process.wait()
        assert self._said_nothing()
        return in_flight

    def work(self, lines: Iterator[Line], until: Callable[[], bool]) -> None:
        """Keeps the worker busy until then."""
        deadline = time.monotonic() + PATIENCE_S
        with selectors.DefaultSelector() as selector:
            selector.register(self._stdout, selectors.EVENT_READ)
            while not until():
                self._exchange(selector, lines, LOOK_S)
                assert time.monotonic() < deadline, self._stuck()

    def rest(self) -> None:
        """Returns when everything is answered."""
        self.work(iter(()), lambda: not self._waiting)

    def finish(self, lines: Iterator[Line]) -> None:
        """Sends the lines, waits for all answers, and ends the worker in good order."""
        rest = list(lines)
        wanted = self.lines + len(rest)
        feed = iter(rest)
        with selectors.DefaultSelector() as selector:
            selector.register(self._stdout, selectors.EVENT_READ)
            while self.answers < wanted:
                self._exchange(selector, feed, PATIENCE_S)
        self._stdin.close()
        self._read_rest()
        assert self._process.wait() == 0
        assert self._said_nothing()

    def _has_come(self, moment: Moment) -> bool:
        return (
            self.answers >= moment.answers and self.answer_bytes >= moment.answer_bytes and self.lines >= moment.lines
        )

    def _exchange(
        self, selector: selectors.BaseSelector, lines: Iterator[Line], patience_s: float, bytes_max: int | None = None
    ) -> None:
        """One step: writes what there is room for, or reads what has come."""
        wants_to_write = not self._stdin.closed and self._fill(lines)
        if wants_to_write:
            with suppress(BlockingIOError):
                self._unwritten = self._unwritten[os.write(self._stdin.fileno(), self._unwritten) :]
        chunk = b""
        is_blocked = bool(self._unwritten) and not self._stdin.closed
        if is_blocked:
            selector.register(self._stdin, selectors.EVENT_WRITE)
        ready = selector.select(patience_s)
        if is_blocked:
            selector.unregister(self._stdin)
        if not ready:
            assert patience_s < PATIENCE_S, self._stuck()
            return
        if any(key.fileobj is self._stdout for key, _ in ready):
            chunk = os.read(self._stdout.fileno(), min(bytes_max or 65_536, 65_536))
            assert chunk or self._stdin.closed, f"the worker ended by itself: {self._words()}"
            self._has_ended = not chunk
            self._take(chunk)

    def _fill(self, lines: Iterator[Line]) -> bool:
        """Takes more lines to write while the limit allows; whether there is something to write."""
        if not self._unwritten:
            some: list[bytes] = []
            while len(self._waiting) < self._in_flight_max and (line := next(lines, None)) is not None:
                some.append(msgspec.json.encode(line) + b"\n")
                self._waiting.append(line)
                self._notes.sent(line)
                self.lines += 1
            self._unwritten = memoryview(b"".join(some))
        return bool(self._unwritten)

    def _take(self, chunk: bytes) -> None:
        if self.first_answer_s is None and chunk:
            self.first_answer_s = time.monotonic() - self._started
        self.answer_bytes += len(chunk)
        *complete, self._unread = (self._unread + chunk).split(b"\n")
        for text in complete:
            self.answers += 1
            recorded = self._notes.answered(self._waiting.popleft(), text)
            if recorded is not None and recorded.events:
                assert recorded.version > self._versions.get(recorded.stream, 0), f"not in the order sent: {recorded}"
                self._versions[recorded.stream] = recorded.version

    def _read_rest(self) -> None:
        """What the worker had written before it died was given as well."""
        while chunk := os.read(self._stdout.fileno(), 65_536):
            self._take(chunk)

    def _stuck(self) -> str:
        last = self._words().splitlines()[-1:]
        return f"the worker gets nowhere, {len(self._waiting)} lines in flight, failures {self._notes.failures}: {last}"

    def _said_nothing(self) -> bool:
        words = [line for line in self._words().splitlines() if self._may_say.match(line) is None]
        assert not words, "\n".join(words)
        return True

    def _words(self) -> str:
        self._said.seek(0)
        return self._said.read().decode()
