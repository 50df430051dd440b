"""An error that was answered is let go with its sender, although its traceback leads through the bus's own frames."""

import gc
from collections.abc import Iterator

import anyio
import pytest

from bus import Bus, BusError, Limits
from tests.support.bank import BANK, AccountCommand, Deposit, Misbehave, Open, Withdraw
from tests.support.stores import FakeEventStore, unavailable


@pytest.fixture(scope="module", autouse=True)
def _others_are_not_looked_through() -> Iterator[None]:
    """What other tests have left is put aside, which is much."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def _no_collector_helps() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def errors() -> int:
    """How many errors and their causes there are."""
    return sum([isinstance(one, BusError | ZeroDivisionError) for one in gc.get_objects()])


async def refused(bus: Bus, command: AccountCommand, command_id: str | None = None) -> None:
    try:
        await bus.send(command, command_id=command_id)
    except BusError:
        return
    pytest.fail("it was not refused")


def test_an_error_that_is_kept_is_counted() -> None:
    before = errors()
    held = [BusError("kept"), ZeroDivisionError()]
    assert errors() == before + len(held)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("command_id", [None, "named"])
@pytest.mark.parametrize(
    "command", [Deposit("never", 1), Withdraw("a", 10), Misbehave("a", "raise"), Misbehave("a", "evolve-raises")]
)
async def test_a_refusal_is_gone_when_its_sender_is(
    command: AccountCommand, command_id: str | None, shared: bool
) -> None:
    async with Bus(BANK, event_store=FakeEventStore(shared=shared)) as bus:
        await bus.send(Open("a"))
        before = errors()
        for _ in range(3):
            await refused(bus, command, command_id)
        await bus.send(Deposit("a", 1))
        assert errors() == before


def kept() -> int:
    """How many are there that even the collector does not free; tasks and frames keep circles of their own."""
    gc.collect()
    return errors()


async def test_refusals_of_twins_and_those_in_one_batch_with_others_are_gone() -> None:
    async with Bus(BANK, event_store=FakeEventStore()) as bus:
        await bus.send(Open("a"))
        before = kept()
        async with anyio.create_task_group() as group:
            for command_id in ("same", "same", "other", None):
                group.start_soon(refused, bus, Withdraw("a", 10), command_id)
                group.start_soon(refused, bus, Open("a"))
                group.start_soon(refused, bus, Misbehave("a", "raise"), "bug")
        await bus.send(Deposit("a", 1))
        assert kept() == before


async def test_refusals_because_of_the_store_are_gone() -> None:
    store = FakeEventStore()
    async with Bus(BANK, event_store=store, limits=Limits(append_attempts_max=1)) as bus:
        before = kept()
        store.script.append(unavailable)
        await refused(bus, Open("a"))
        await bus.send(Open("a"))
        assert kept() == before
