"""The task of a bus on SQLite is stopped at each of its steps: its files are free at once, and no promise is broken."""

import asyncio
import threading
import types
from collections.abc import Coroutine, Generator
from pathlib import Path
from typing import Any

import pytest

from adapters.sqlite import SqliteEventStore, SqliteViewStore
from bus import Bus, Receipt
from tests.support.ledger import LEDGER, Balance, Deposit, GetBalance


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Story:
    """One life of a bus."""

    def __init__(self, folder: Path, number: int) -> None:
        self._folder = folder
        self._number = number
        self.receipts: list[Receipt] = []
        self.senders: list[asyncio.Task[None]] = []
        self.steps = 0

    def bus(self) -> Bus:
        return Bus(
            LEDGER,
            event_store=SqliteEventStore(self._folder / "events.db", readers_max=1),
            view_store=SqliteViewStore(self._folder / "views.db", readers_max=1),
        )

    async def live(self) -> None:
        async with self.bus() as bus:
            for number in range(3):
                self.senders.append(asyncio.ensure_future(self._send(bus, f"{self._number}-early-{number}")))
            await self._send(bus, f"{self._number}-own")
            await bus.query(GetBalance("a"), after=self.receipts[-1])
            self.senders.append(asyncio.ensure_future(self._send(bus, f"{self._number}-late")))
            await asyncio.sleep(0)

    async def _send(self, bus: Bus, command_id: str) -> None:
        self.receipts.append(await bus.send(Deposit("a", 1), command_id=command_id))

    @types.coroutine
    def cancelled_at(self, step: int, running: Coroutine[Any, Any, None]) -> Generator[Any, Any, None]:
        """Runs a task's work, and cancels the task itself the way asyncio does when it waits for that time."""
        error: BaseException | None = None
        while True:
            try:
                waits_for = running.send(None) if error is None else running.throw(error)
            except StopIteration:
                return
            self.steps += 1
            if self.steps == step:
                task = asyncio.current_task()
                assert task is not None
                task.cancel()
            error = None
            try:
                yield waits_for
            except BaseException as raised:
                error = raised


async def stopped_at(step: int, folder: Path) -> bool:
    """Whether the bus was stopped at that step, which it may not have reached."""
    story = Story(folder, step)

    async def run() -> None:
        await story.cancelled_at(step, story.live())

    stopped = isinstance((await asyncio.gather(asyncio.ensure_future(run()), return_exceptions=True))[0], BaseException)
    assert not [one for one in threading.enumerate() if one.name in ("doubledecker-events", "doubledecker-views")]
    # Nobody waits for ever.
    await asyncio.gather(*story.senders, return_exceptions=True)
    async with story.bus() as bus:
        events = [one async for one in bus.events()]
        positions = list(range(1, len(events) + 1))
        assert [one.position for one in events] == positions
        places = {one.command_id: one.position for one in events}
        assert len(places) == len(events)
        assert [places[receipt.command_id] for receipt in story.receipts] == [one.position for one in story.receipts]
        balance = await bus.query(GetBalance("a"), after=len(events))
        assert balance == (Balance("a", len(events), positions) if events else None)
    return stopped


async def test_wherever_its_task_is_cancelled_a_bus_leaves_its_files_in_order(tmp_path: Path) -> None:
    step = 1
    while await stopped_at(step, tmp_path):
        step += 1
    assert step > 15
