"""Setbacks: events that fail are given up after so many attempts, stores that fail are waited for, each longer."""

from collections.abc import Callable

import anyio
import pytest

from bus.core.limits import Limits
from bus.memory import MemoryEventStore, MemoryViewStore
from bus.read.folding import Poisoned
from bus.read.services import Services
from bus.read.setbacks import Setbacks
from bus.runtime.feed import Feed
from bus.runtime.reply import reply_factory
from bus.testing import virtual_time
from tests.support.building import TurningClock
from tests.support.ledger import LEDGER
from tests.support.telemetry import RecordingTelemetry

LIMITS = Limits(projection_attempts_max=3, projection_backoff_s=1.0, projection_backoff_max_s=4.0)


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> object:
    return virtual_time.backend(request.param)


@pytest.fixture
def telemetry() -> RecordingTelemetry:
    return RecordingTelemetry()


@pytest.fixture
def new(telemetry: RecordingTelemetry) -> Callable[[], Setbacks]:
    """Made inside the running event loop."""

    def setbacks() -> Setbacks:
        services = Services(
            application=LEDGER,
            event_store=MemoryEventStore(),
            view_store=MemoryViewStore(),
            feed=Feed(10),
            clock=TurningClock(),
            telemetry=telemetry,
            new_reply=reply_factory(),
            limits=LIMITS,
        )
        return Setbacks(services, "balances")

    return setbacks


def poison(position: int) -> Poisoned:
    return Poisoned(position, ZeroDivisionError("a bug"), "k")


async def test_an_event_is_given_up_after_so_many_attempts(
    new: Callable[[], Setbacks], telemetry: RecordingTelemetry
) -> None:
    setbacks, began = new(), TurningClock().now()
    assert setbacks.poisoned(poison(5), 4) is None
    await setbacks.pause()
    assert setbacks.poisoned(poison(5), 4) is None
    await setbacks.pause()
    failure = setbacks.poisoned(poison(5), 4)
    assert failure is not None
    assert (failure.position, failure.attempts, failure.error) == (5, 3, "ZeroDivisionError: a bug")
    assert (failure.first_at, (failure.last_at - began).total_seconds()) == (began, 3.0)
    assert len(telemetry.failures) == 3
    setbacks.parked(poison(5))
    assert setbacks.attempts == 0
    assert setbacks.last_error == "ZeroDivisionError: a bug"


async def test_what_comes_before_an_event_that_failed_is_committed_first(new: Callable[[], Setbacks]) -> None:
    setbacks = new()
    began = anyio.current_time()
    assert setbacks.poisoned(poison(9), 4) is None
    await setbacks.pause()
    assert (setbacks.until, setbacks.attempts, anyio.current_time()) == (8, 0, began)
    setbacks.overcome()
    assert setbacks.until is None


async def test_a_store_that_fails_is_waited_for_ever_longer_up_to_a_limit(new: Callable[[], Setbacks]) -> None:
    setbacks, waits = new(), list[float]()
    for _ in range(5):
        setbacks.unavailable(OSError("down"), 4)
        began = anyio.current_time()
        await setbacks.pause()
        waits.append(anyio.current_time() - began)
    assert waits == pytest.approx([1.0, 2.0, 4.0, 4.0, 4.0])
    assert (setbacks.attempts, setbacks.last_error) == (5, "OSError('down')")
    setbacks.overcome()
    assert (setbacks.attempts, setbacks.last_error) == (0, None)


async def test_losses_of_the_lease_are_counted_until_something_is_committed(new: Callable[[], Setbacks]) -> None:
    setbacks = new()
    setbacks.losses = 2
    setbacks.forget()
    began = anyio.current_time()
    await setbacks.pause()
    assert anyio.current_time() - began == pytest.approx(2.0)
    setbacks.overcome()
    assert setbacks.losses == 0


async def test_a_store_that_fails_while_what_is_sound_is_committed_first_is_waited_for_too(
    new: Callable[[], Setbacks],
) -> None:
    setbacks = new()
    assert setbacks.poisoned(poison(9), 4) is None
    setbacks.unavailable(OSError("down"), 4)
    began = anyio.current_time()
    await setbacks.pause()
    assert (setbacks.until, anyio.current_time() - began) == (8, 1.0)


async def test_retries_are_counted_over_everything_that_is_committed(new: Callable[[], Setbacks]) -> None:
    setbacks = new()
    setbacks.poisoned(poison(5), 4)
    setbacks.overcome()
    setbacks.unavailable(OSError("down"), 5)
    setbacks.forget()
    assert (setbacks.attempts, setbacks.retries) == (0, 2)
