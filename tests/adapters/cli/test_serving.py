"""Lines are answered in their order, as soon as that allows, and never more of them are taken than the limits say."""

import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio import lowlevel, to_thread

from adapters.cli.pipes import Input, Output, read_some
from adapters.cli.serving import Serving
from bus import Bus, Limits
from tests.support.bank import BANK
from tests.support.leaks import own_threads, threads_left
from tests.support.stores import FakeEventStore, Gate

LIMITS = Limits(send_many_commands_max=10, batch_bytes_max=4_096)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Client:
    """The other ends of a worker's standard input and output, and the worker's state."""

    def __init__(self, store: FakeEventStore) -> None:
        self.source, self.lines_end = os.pipe()
        self._answers, self.output = os.pipe()
        self._read = b""
        self.store = store
        self.reading = anyio.CancelScope()
        self.error: OSError | None = None
        self._threads = own_threads()
        self._open = {self.source, self.lines_end, self._answers}
        self.bus: Bus

    def write(self, *lines: dict[str, Any] | bytes) -> None:
        """Writes what fits into a pipe."""
        os.write(self.lines_end, b"".join([one if isinstance(one, bytes) else encoded(one) for one in lines]))

    def end(self) -> None:
        self._close(self.lines_end)

    async def answer(self) -> dict[str, Any]:
        """The next answer, waited for in a thread."""
        while b"\n" not in self._read:
            chunk = await to_thread.run_sync(read_some, self._answers)
            assert chunk, "there are no more answers"
            self._read += chunk
        line, _, self._read = self._read.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        return answer

    async def lines(self, count: int) -> list[int]:
        """The line numbers of the next answers."""
        return [(await self.answer())["line"] for _ in range(count)]

    def leave(self) -> None:
        """Stops reading answers."""
        self._close(self._answers)

    def close(self) -> None:
        """Closes what the test left open, the source once nobody reads it any more."""
        self._close(self.lines_end)
        assert not threads_left(self._threads)
        self._close(self._answers)
        self._close(self.source)

    def _close(self, descriptor: int) -> None:
        if descriptor in self._open:
            self._open.remove(descriptor)
            os.close(descriptor)


def encoded(line: dict[str, Any]) -> bytes:
    return json.dumps(line).encode() + b"\n"


def opening(number: int, **more: Any) -> dict[str, Any]:
    return {"type": "open", "account_id": f"{number:03}", **more}


@asynccontextmanager
async def serving(
    store: FakeEventStore, *, hold: Gate | None = None, source: int | None = None
) -> AsyncIterator[Client]:
    """A worker that serves the bank; with `hold`, it cannot write before the gate is released."""
    client = Client(store)

    class Held(Output):
        async def write(self, data: bytes) -> None:
            if hold is not None:
                await hold.passed()
            await super().write(data)

    async def run() -> None:
        input_ = Input(client.source if source is None else source)
        try:
            await Serving(client.bus, source=input_, output=Held(client.output), reading=client.reading).run()
        except OSError as error:
            client.error = error
        finally:
            os.close(client.output)

    try:
        with anyio.fail_after(60):
            async with Bus(BANK, event_store=store, limits=LIMITS) as client.bus, anyio.create_task_group() as tasks:
                tasks.start_soon(run)
                yield client
    finally:
        client.close()


async def until(condition: Callable[[], bool]) -> None:
    """Lets the others run until the condition holds, and then some more."""
    while not condition():
        await lowlevel.checkpoint()
    for _ in range(100):
        await lowlevel.checkpoint()


async def test_answers_come_in_the_order_of_the_lines() -> None:
    async with serving(FakeEventStore()) as client:
        gate = Gate()
        client.store.script.append(gate.before)
        client.write(opening(1), b"nonsense\n", b"\n", opening(2, command_id="two"), b"[]\n")
        await gate.reached.wait()
        gate.release()
        answers = [await client.answer() for _ in range(4)]
        client.end()
    assert [answer["line"] for answer in answers] == [1, 2, 4, 5]
    assert ["receipt" in answer for answer in answers] == [True, False, True, False]
    assert answers[2]["receipt"]["command_id"] == "two"


async def test_an_answer_does_not_wait_for_the_lines_that_follow() -> None:
    async with serving(FakeEventStore()) as client:
        gate = Gate()
        client.store.script.append(gate.before)
        client.write(b"nonsense\n", opening(1), opening(2))
        assert await client.lines(1) == [1]
        await gate.reached.wait()
        gate.release()
        assert await client.lines(2) == [2, 3]
        client.end()


async def test_commands_of_one_aggregate_are_carried_out_in_the_order_of_the_lines() -> None:
    async with serving(FakeEventStore()) as client:
        deposits = [{"type": "deposit", "account_id": "001", "amount": number} for number in range(50)]
        client.write(opening(1), *deposits)
        versions = [(await client.answer())["receipt"]["version"] for _ in range(51)]
        client.end()
    assert versions == list(range(1, 52))


async def test_many_lines_are_in_flight_and_no_more_than_the_limit() -> None:
    async with serving(FakeEventStore()) as client:
        gate = Gate()
        client.store.script.append(gate.before)
        client.write(*[opening(number) for number in range(35)])
        await until(lambda: client.bus.statistics().commands_in_flight >= 10)
        assert client.bus.statistics().commands_in_flight == 10
        gate.release()
        assert await client.lines(35) == list(range(1, 36))
        client.end()


async def test_lines_in_flight_are_limited_in_bytes() -> None:
    async with serving(FakeEventStore()) as client:
        gate = Gate()
        client.store.script.append(gate.before)
        long = [encoded(opening(number)).replace(b"\n", b" " * 1_900 + b"\n") for number in range(8)]
        client.write(*long, encoded(opening(9)).replace(b"\n", b" " * 9_000 + b"\n"))
        await until(lambda: client.bus.statistics().commands_in_flight >= 2)
        assert client.bus.statistics().commands_in_flight == 2
        gate.release()
        assert await client.lines(9) == list(range(1, 10))
        client.end()


async def test_while_answers_are_not_read_no_more_lines_are_taken() -> None:
    hold = Gate()
    async with serving(FakeEventStore(), hold=hold) as client:
        client.write(*[opening(number) for number in range(35)])
        await until(lambda: client.bus.statistics().commands >= 10)
        assert client.bus.statistics().commands == 10
        hold.release()
        assert await client.lines(35) == list(range(1, 36))
        client.end()
    assert client.error is None


async def test_when_stopped_the_lines_that_were_taken_are_answered_and_no_others() -> None:
    async with serving(FakeEventStore()) as client:
        gate = Gate()
        client.store.script.append(gate.before)
        client.write(*[opening(number) for number in range(35)])
        await until(lambda: client.bus.statistics().commands_in_flight >= 10)
        client.reading.cancel()
        gate.release()
        assert await client.lines(10) == list(range(1, 11))
    assert sum(len(batch) for batch in client.store.batches) == 10


async def test_when_nobody_reads_the_answers_what_was_taken_is_finished() -> None:
    async with serving(FakeEventStore()) as client:
        gate = Gate()
        client.store.script.append(gate.before)
        client.write(b"nonsense\n")
        assert await client.lines(1) == [1]
        client.leave()
        client.write(opening(1), b"nonsense\n")
        await gate.reached.wait()
        gate.release()
        await until(lambda: client.error is not None)
        assert client.bus.statistics().events == 1
    assert isinstance(client.error, BrokenPipeError)


async def test_input_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    directory = os.open(tmp_path, os.O_RDONLY)
    async with serving(FakeEventStore(), source=directory) as client:
        pass
    os.close(directory)
    assert isinstance(client.error, IsADirectoryError)


async def test_input_may_end_without_a_newline_and_with_a_line_that_is_too_long() -> None:
    async with serving(FakeEventStore()) as client:
        client.write(opening(1), encoded(opening(2)).rstrip())
        client.end()
        assert await client.lines(2) == [1, 2]
    async with serving(FakeEventStore()) as client:
        chunks = [b"x" * 32_768] * 33
        for chunk in chunks:
            await to_thread.run_sync(os.write, client.lines_end, chunk)
        client.end()
        assert (await client.answer())["error"]["code"] == "line-too-long"
