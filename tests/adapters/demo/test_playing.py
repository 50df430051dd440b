"""Flights are played in order, as fast as it goes or at so many times real time, until the end or an interrupt."""

from collections.abc import Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Any

import anyio
import pytest

from adapters.cli.failures import Failure
from adapters.demo.command import WEEK
from adapters.demo.playing import PAUSE_S_MIN, Tally, chunks_of
from adapters.demo.traffic import TRAFFIC
from adapters.flights import Played, commands, read_flights
from bus import Bus, MemoryEventStore, StoreUnavailable
from bus.core.stored import Append, Appended
from bus.testing import virtual_time
from domain.flight import ScheduleFlight

PLAYED = list(commands(read_flights(WEEK, limit=20).flights))


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return virtual_time.backend()


class FailingEventStore(MemoryEventStore):
    """Its disk is full after the first append."""

    appends = 0

    async def append(self, batch: Sequence[Append], recorded_at: datetime) -> Appended:
        self.appends += 1
        if self.appends > 1:
            raise StoreUnavailable("the disk is full", store=self.url)
        return await super().append(batch, recorded_at)


async def test_a_store_that_fails_ends_the_run_with_what_to_do() -> None:
    shown: list[Sequence[Played]] = []
    async with (
        Bus(TRAFFIC, event_store=FailingEventStore()) as bus,
        aclosing(chunks_of(PLAYED, stop=anyio.Event(), size=10)) as chunks,
    ):
        with pytest.raises(Failure, match=r"stopped after 10 commands: .*disk is full.*same --store"):
            await Tally().play(bus, chunks, shown.append)
    assert shown == [PLAYED[:10]]


async def test_chunks_hold_everything_in_order() -> None:
    found = [chunk async for chunk in chunks_of(PLAYED, stop=anyio.Event(), size=7)]
    assert [one for chunk in found for one in chunk] == PLAYED
    assert {len(chunk) for chunk in found[:-1]} == {7}
    assert anyio.current_time() == 0.0
    assert [chunk async for chunk in chunks_of([], stop=anyio.Event(), size=7, speed=60.0)] == []


async def test_at_a_speed_everything_comes_at_its_moment_and_what_came_before_the_first_departure_at_once() -> None:
    first = next(one.at for one in PLAYED if not isinstance(one.command, ScheduleFlight))
    found = []
    async for chunk in chunks_of(PLAYED, stop=anyio.Event(), size=7, speed=60.0):
        found += [(anyio.current_time(), one) for one in chunk]
    assert [one for _, one in found] == PLAYED
    for came_s, one in found:
        due_s = max(0.0, (one.at - first).total_seconds() / 60.0)
        assert due_s <= came_s + 1e-6 <= due_s + 2 * PAUSE_S_MIN
    assert found[-1][0] > 60.0


async def test_no_speed_leaves_the_calendar() -> None:
    found: list[Played] = []
    async for chunk in chunks_of(PLAYED, stop=anyio.Event(), size=7, speed=1e9):
        found += chunk
        await anyio.sleep(600.0)  # 19,000 years of the flights.
    assert found == PLAYED
    found = []
    with anyio.move_on_after(10.0):
        async for chunk in chunks_of(PLAYED, stop=anyio.Event(), size=7, speed=1e-9):
            found += chunk
    # All that is on the schedule, and the first departure.
    assert found == PLAYED[:21]


async def test_an_interrupt_ends_it_also_while_the_next_moment_is_waited_for() -> None:
    stop = anyio.Event()
    found: list[Played] = []
    async with anyio.create_task_group() as tasks:

        async def interrupt() -> None:
            await anyio.sleep(30.0)
            stop.set()

        tasks.start_soon(interrupt)
        async for chunk in chunks_of(PLAYED, stop=stop, size=1_000, speed=60.0):
            found += chunk
    assert anyio.current_time() == 30.0
    assert found == PLAYED[: len(found)]
    assert 0 < len(found) < len(PLAYED)
