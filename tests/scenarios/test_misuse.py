"""Misuse: calls that cannot mean anything, from where they cannot be made, are told apart from the bus's own faults."""

import asyncio
import dataclasses
from typing import Any

import anyio
import pytest

from bus import Bus, BusClosed, DefinitionError, Limits, MemoryEventStore, MemoryViewStore, Receipt
from tests.support.bank import ACCOUNT, BANK, Open


async def test_what_cannot_be_loaded_is_refused() -> None:
    other: Any = dataclasses.replace(ACCOUNT, category="elsewhere")
    nonsense: Any = 5
    async with Bus(BANK) as bus:
        for decider, name in ((other, "'elsewhere'"), (nonsense, "5")):
            with pytest.raises(DefinitionError, match=f"the application has no such decider: {name}"):
                await bus.load(decider, "a")
        for wrong, fault in (("", "empty"), (nonsense, "of type int, not str"), ("x" * 201, "201 bytes long")):
            with pytest.raises(ValueError, match=f"the aggregate's id is {fault}"):
                await bus.load(ACCOUNT, wrong)


@pytest.mark.parametrize("nonsense", ["5", 0.5, BusClosed("no receipt")])
async def test_what_is_no_position_is_refused(nonsense: Any) -> None:
    async with Bus(BANK) as bus:
        with pytest.raises(TypeError, match="what is waited for must be a receipt or a position, not"):
            await bus.wait_projected(nonsense)
        with pytest.raises(TypeError, match="what is waited for must be a receipt or a position, not"):
            await bus.query(nonsense, after=nonsense)
        with pytest.raises(TypeError, match="after must be a position or a version, not"):
            await anext(bus.events(after=nonsense))
        with pytest.raises(TypeError, match="a stream has a text for a name, not 5"):
            await anext(bus.events(5))  # type: ignore[arg-type]
        for beyond in (-1, 2**63):
            with pytest.raises(ValueError, match="after must not be negative, nor have more than 64 bits"):
                await anext(bus.events(after=beyond))


@pytest.mark.parametrize("nonsense", ["5", float("nan")])
async def test_what_is_no_time_to_wait_is_refused(nonsense: Any) -> None:
    async with Bus(BANK) as bus:
        for waiting in (
            bus.wait_projected(0, timeout=nonsense),
            bus.wait_settled(nonsense),
            bus.query(nonsense, timeout=nonsense),
        ):
            with pytest.raises(TypeError, match="timeout must be a number of seconds, not"):
                await waiting


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"event_store": "bank.db"}, "event_store must be a store such as .*, not 'bank.db'"),
        ({"event_store": MemoryViewStore()}, "event_store must be a store such as"),
        ({"view_store": MemoryEventStore()}, "view_store must be a store such as"),
        ({"limits": {"residents_max": 5}}, "limits must be an instance of Limits"),
        ({"limits": Limits}, "limits must be an instance of Limits"),
    ],
)
def test_what_no_bus_can_be_made_of_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        Bus(BANK, **options)


async def test_a_bus_used_on_another_event_loop_says_so_and_records_nothing(anyio_backend_name: str) -> None:
    elsewhere = "the bus is open on another event loop, or in another thread: nothing was recorded"
    async with Bus(BANK) as bus:

        async def use() -> None:
            for call in (
                lambda: bus.send(Open("a")),
                lambda: bus.send_many([Open("a")]),
                lambda: bus.load(ACCOUNT, "a"),
                bus.wait_settled,
                lambda: bus.wait_projected(0),
                lambda: anext(bus.events()),
            ):
                with pytest.raises(BusClosed, match=elsewhere):
                    await call()
            assert bus.statistics().position == 0

        await anyio.to_thread.run_sync(lambda: anyio.run(use, backend=anyio_backend_name))
        assert (await bus.send(Open("a"))).position == 1


def test_a_bus_used_on_a_later_event_loop_says_so_and_records_nothing() -> None:
    bus = Bus(BANK)
    with asyncio.Runner() as first, asyncio.Runner() as second:
        first.run(bus.__aenter__())
        for calls in (bus.send(Open("a")), bus.send(Open("a"), command_id="the-id"), bus.send_many([Open("a")])):
            with pytest.raises(BusClosed, match="nothing was recorded"):
                second.run(calls)
        assert first.run(bus.send(Open("a"), command_id="the-id")).position == 1


def test_a_bus_left_in_another_task_is_closed_and_says_what_to_do() -> None:
    store = MemoryEventStore()
    bus = Bus(BANK, event_store=store)
    with asyncio.Runner() as runner:
        runner.run(bus.__aenter__())
        with pytest.raises(DefinitionError, match=r"left in another task .* closed, but not in order"):
            runner.run(bus.__aexit__(None, None, None))
        assert bus.report is not None

    async def again() -> Receipt:
        async with Bus(BANK, event_store=store) as bus:
            return await bus.send(Open("a"))

    assert asyncio.run(again()).position == 1
