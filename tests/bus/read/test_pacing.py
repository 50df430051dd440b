"""Pacing: a build rests in proportion to its work while events are recorded, and not at all while none are."""

import anyio

from bus import Limits
from bus.read.pacing import Pace
from bus.read.services import Services
from tests.support.building import services_of

LIMITS = Limits(rebuild_share=0.2, projection_events_max=100)


async def rested(pace: Pace, position: int, worked_s: float = 0.5) -> float:
    began = anyio.current_time()
    await pace.rest(worked_s, position)
    return anyio.current_time() - began


def recording(share: float = 0.2) -> tuple[Services, Pace]:
    services = services_of(limits=Limits(rebuild_share=share, projection_events_max=100))
    services.feed.advance(1_000)
    return services, Pace(services)


async def test_while_events_are_recorded_work_takes_its_share_of_the_time() -> None:
    services, pace = recording()
    services.feed.advance(1_001)
    # Half a second of work, and two of rest: a fifth.
    assert await rested(pace, 10) == 2.0


async def test_while_nothing_is_recorded_there_is_no_rest() -> None:
    services, pace = recording()
    assert await rested(pace, 10) == 0.0
    services.feed.advance(1_001)
    assert await rested(pace, 10) == 2.0
    assert await rested(pace, 20) == 0.0


async def test_near_the_end_there_is_no_rest_since_nobody_would_ever_catch_up() -> None:
    services, pace = recording()
    services.feed.advance(1_001)
    assert await rested(pace, 901) == 0.0
    services.feed.advance(1_002)
    assert await rested(pace, 901) == 2.0


async def test_a_share_above_one_is_all_of_the_time() -> None:
    services, pace = recording(share=3.0)
    services.feed.advance(1_001)
    assert await rested(pace, 10) == 0.0
