"""The clock: the event loop's own time, and the time of day in UTC."""

from datetime import UTC, datetime, timedelta

import anyio

from bus.runtime.clock import LoopClock


async def test_the_clock_is_that_of_the_event_loop() -> None:
    clock = LoopClock()
    started = clock.monotonic()
    assert started == anyio.current_time()
    await anyio.sleep(100)
    assert round(clock.monotonic() - started) == 100


async def test_the_time_of_day_is_in_utc() -> None:
    now = LoopClock().now()
    assert now.tzinfo is UTC
    assert abs(now - datetime.now(UTC)) < timedelta(minutes=1)
