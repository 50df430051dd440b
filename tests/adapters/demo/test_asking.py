"""The read models are asked when they have caught up."""

from typing import Any

import pytest

from adapters.demo.asking import BOARD_LINES, ask, caught_up
from adapters.demo.command import WEEK
from adapters.demo.traffic import TRAFFIC
from adapters.flights import commands, read_flights
from bus import Bus, ProjectionTimeout


class LateBus:
    """A bus whose read models need some waits, or for ever."""

    def __init__(self, *reached: int) -> None:
        self.reached = list(reached)

    async def wait_projected(self, position: int) -> None:
        at = self.reached.pop(0)
        if at < position:
            raise ProjectionTimeout("not yet", projection="departures", position=position, at=at)


@pytest.mark.anyio
async def test_read_models_are_waited_for_as_long_as_they_move() -> None:
    late: Any = LateBus(3, 6, 10)
    await caught_up(late, 10)
    assert late.reached == []
    stuck: Any = LateBus(3, 6, 6, 10)
    with pytest.raises(ProjectionTimeout):
        await caught_up(stuck, 10)


@pytest.mark.anyio
async def test_the_busiest_airports_and_all_carriers_are_shown() -> None:
    records = read_flights(WEEK, limit=100)
    async with Bus(TRAFFIC) as bus:
        await bus.send_many([one.command for one in commands(records.flights)])
        await bus.wait_settled()
        shown = await ask(bus, records, bus.statistics().position)
    assert list(shown.boards) == ["EWR", "JFK", "LGA"]
    assert {len(board) for board in shown.boards.values()} == {BOARD_LINES}
    assert sum(line.flights for line in shown.carriers) == sum(shown.by_status.values()) == 100
    assert shown.day is not None
