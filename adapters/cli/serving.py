"""Serving: sends the commands of numbered lines, many at a time, and writes the answers in the order of the lines."""

import asyncio
from collections import deque

import anyio
import msgspec

from adapters.cli.answers import Outcome, answers
from adapters.cli.lines import LINE_BYTES_MAX, Line, LineSplitter
from adapters.cli.pipes import Input, Output
from adapters.cli.wire import Order, Refusal, Wire, too_long
from bus import Bus, BusError, Receipt

ANSWERS_PER_WRITE_MAX = 1_024


class Taken(msgspec.Struct, eq=False):
    """A line that will be answered."""

    number: int
    size: int
    outcome: "Refusal | asyncio.Task[Receipt | BusError]"


class Serving:
    """One run from the first line to the last answer.

    Lines that are taken and not yet answered in writing are limited in number, by `Limits.send_many_commands_max`, and
    in bytes, by `Limits.batch_bytes_max`: who reads the answers slowly is also read from slowly. Cancelling
    `reading` stops it: no further line is taken, and those that were taken are answered.
    """

    def __init__(self, bus: Bus, *, source: Input, output: Output, reading: anyio.CancelScope) -> None:
        self._bus = bus
        self._source = source
        self._output = output
        self._wire = Wire(bus.application)
        self._reading = reading
        self._lines_max = bus.limits.send_many_commands_max
        self._bytes_max = bus.limits.batch_bytes_max
        self._waiting: deque[Taken] = deque()
        """In the order of the lines."""
        self._lines = 0
        self._bytes = 0
        self._taken = asyncio.Event()
        self._room = asyncio.Event()
        self._is_read = False

    async def run(self) -> None:
        """Returns at the end of the input, or when stopped, when every line that was taken is answered.

        Raises `OSError` where the input cannot be read or the answers cannot be written. Even then every command that
        was sent is finished.
        """
        failures: list[OSError] = []
        async with asyncio.TaskGroup() as tasks:
            writer = tasks.create_task(self._write_answers(failures))
            try:
                with self._reading:
                    await self._read_lines(tasks)
            except OSError as error:
                failures.append(error)
            self._is_read = True
            self._taken.set()
            await writer
        if failures:
            raise failures[0]

    async def _read_lines(self, tasks: asyncio.TaskGroup) -> None:
        splitter = LineSplitter()
        while chunk := await self._source.read():
            for line in splitter.feed(chunk):
                await self._take(line, tasks)
        for line in splitter.finish():
            await self._take(line, tasks)

    async def _take(self, line: Line, tasks: asyncio.TaskGroup) -> None:
        size = len(line.text or b"")
        while self._lines >= self._lines_max or (self._lines and self._bytes + size > self._bytes_max):
            self._room.clear()
            await self._room.wait()
        self._lines += 1
        self._bytes += size
        wanted = too_long(LINE_BYTES_MAX) if line.text is None else self._wire.read(line.text)
        # Tasks start in the order they are made, so that each aggregate gets its commands in the order of the lines.
        outcome = wanted if isinstance(wanted, Refusal) else tasks.create_task(self._send(wanted))
        self._waiting.append(Taken(line.number, size, outcome))
        self._taken.set()

    async def _send(self, order: Order) -> Receipt | BusError:
        try:
            return await self._bus.send(
                order.command,
                command_id=order.command_id,
                expected_version=order.expected_version,
                timeout=order.timeout,
                correlation_id=order.correlation_id,
                causation_id=order.causation_id,
            )
        except BusError as error:
            return error

    async def _write_answers(self, failures: list[OSError]) -> None:
        while True:
            if not self._waiting:
                if self._is_read:
                    return
                self._taken.clear()
                await self._taken.wait()
                continue
            head = self._waiting[0].outcome
            if isinstance(head, asyncio.Task) and not head.done():
                await head
            known = self._known()
            if not failures:
                try:
                    await self._output.write(answers([(number, outcome) for number, _, outcome in known]))
                except OSError as error:
                    # Nobody hears the answers: no more commands, but those on their way are finished.
                    failures.append(error)
                    self._reading.cancel()
            self._lines -= len(known)
            self._bytes -= sum([size for _, size, _ in known])
            self._room.set()

    def _known(self) -> list[tuple[int, int, Outcome]]:
        """Number, size and outcome of the first lines, up to one that is still on its way."""
        known: list[tuple[int, int, Outcome]] = []
        waiting = self._waiting
        while waiting and len(known) < ANSWERS_PER_WRITE_MAX:
            taken = waiting[0]
            outcome = taken.outcome
            if not isinstance(outcome, asyncio.Task):
                known.append((taken.number, taken.size, outcome))
            elif outcome.done():
                known.append((taken.number, taken.size, outcome.result()))
            else:
                break
            waiting.popleft()
        return known
