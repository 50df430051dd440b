"""Residents: passivated when idle or too many, least recently used first, and never with mail."""

import anyio
import pytest

from bus import Bus, Limits
from bus.write.directory import Directory
from tests.support.bank import ACCOUNT, BANK, Deposit, Open, Touch
from tests.support.sending import begin, receipt
from tests.support.stores import FakeEventStore, Gate


async def test_an_idle_aggregate_is_passivated_after_its_time_and_comes_back() -> None:
    async with Bus(BANK, limits=Limits(idle_timeout_s=60)) as bus:
        await bus.send(Open("a"))
        await anyio.sleep(59)
        assert bus.statistics().residents == 1
        await anyio.sleep(2)
        assert (bus.statistics().residents, bus.statistics().passivated) == (0, 1)
        assert (await bus.send(Deposit("a", 5))).version == 2
        assert bus.statistics().recovered == 2


async def test_use_keeps_an_aggregate_resident() -> None:
    async with Bus(BANK, limits=Limits(idle_timeout_s=60)) as bus:
        await bus.send_many([Open("a"), Open("b")])
        for _ in range(5):
            await anyio.sleep(40)
            await bus.send(Touch("a"))
        assert (bus.statistics().residents, bus.statistics().passivated) == (1, 1)


async def test_beyond_the_cap_the_least_recently_used_go_first() -> None:
    store = FakeEventStore()
    async with Bus(BANK, event_store=store, limits=Limits(residents_max=3)) as bus:
        for account in "abc":
            await bus.send(Open(account))
        await bus.send(Touch("a"))
        await bus.send(Open("d"))
        assert bus.statistics().residents == 3
        reads = store.reads
        for account in "acd":
            await bus.send(Touch(account))
        assert store.reads == reads, "b, used least recently, is the one that went"
        await bus.send(Touch("b"))
        assert store.reads == reads + 1


async def test_a_thousand_aggregates_fit_through_a_small_cap() -> None:
    async with Bus(BANK, limits=Limits(residents_max=10, batch_commands_max=7)) as bus:
        outcomes = await bus.send_many([Open(f"a{number}") for number in range(1_000)])
        assert all(receipt(one).version == 1 for one in outcomes)
        assert bus.statistics().residents <= 10
        outcomes = await bus.send_many([Deposit(f"a{number}", 1) for number in range(1_000)])
        assert all(receipt(one).version == 2 for one in outcomes)


async def test_an_aggregate_with_mail_or_at_work_is_never_passivated() -> None:
    store = FakeEventStore()
    limits = Limits(residents_max=1, idle_timeout_s=1, send_timeout_s=1_000)
    async with Bus(BANK, event_store=store, limits=limits) as bus, anyio.create_task_group() as tasks:
        gate = Gate()
        store.script.append(gate.before)
        at_work = await begin(tasks, bus, Open("a"))
        await gate.reached.wait()
        with_mail = [await begin(tasks, bus, Open(account)) for account in "abc"]
        await anyio.sleep(100)
        assert bus.statistics().residents == 3
        store.read_gate = read_gate = Gate()
        gate.release()
        await at_work.receipt()
        await read_gate.reached.wait()
        await anyio.sleep(100)
        assert bus.statistics().residents >= 2, "those that are being recovered stay"
        read_gate.release()
        outcomes = [await one.outcome() for one in with_mail]
        assert [type(one).__name__ for one in outcomes] == ["AlreadyOpen", "Receipt", "Receipt"]
        await anyio.sleep(100)
        assert bus.statistics().residents == 0


def test_idle_actors_tell_when_to_look_again() -> None:
    directory = Directory(Limits(idle_timeout_s=10))
    assert directory.passivate_idle(5.0) == 15.0
    for name, now in (("a", 1.0), ("b", 4.0)):
        directory.touch(directory.actor(name, ACCOUNT), now)
    assert directory.passivate_idle(5.0) == 11.0
    assert directory.passivate_idle(11.0) == 14.0
    assert list(directory.actors) == ["b"]
    directory.actor("b", ACCOUNT).busy = True
    assert directory.passivate_idle(14.0) == 24.0
    assert list(directory.actors) == ["b"]


@pytest.mark.parametrize("state", [None, ACCOUNT.initial])
def test_only_an_actor_that_was_never_used_is_discarded(state: object) -> None:
    directory = Directory(Limits())
    actor = directory.actor("a", ACCOUNT)
    actor.state = state  # type: ignore[assignment]
    directory.discard(actor)
    assert (actor.stream in directory.actors) is (state is not None)
    busy = directory.actor("b", ACCOUNT)
    busy.busy = True
    directory.discard(busy)
    assert "b" in directory.actors
