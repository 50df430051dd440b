"""The desk takes requests to whoever projects, also when that is another process."""

import anyio
import pytest

from bus import PARK, Bus, Limits, MemoryViewStore
from tests.bus.read.test_leases import Place, here
from tests.bus.read.test_replaying import Switch, seen, waiting
from tests.contracts.letters import request
from tests.support.ledger import Deposit, balances, ledger

LIMITS = Limits(poll_interval_s=0.5)


async def test_what_is_asked_in_one_process_is_carried_out_in_the_one_that_projects() -> None:
    place, switch = Place(), Switch(2)
    application = ledger(balances(switch.project, on_poison=PARK))
    (one, _), (other, _) = place.bus(application, LIMITS), place.bus(application, LIMITS)
    async with one, other:
        receipt = await other.send(Deposit("a", 2))
        await one.wait_settled()
        await other.wait_settled()
        assert (here(other), await waiting(other)) == (set(), [("a", 1)])
        switch.amounts.clear()
        started = anyio.current_time()
        done = await other.retry_dead_letters("balances")
        assert done.is_done
        assert anyio.current_time() - started < 2
        assert (await waiting(one), await seen(other)) == ([], [1])
        await other.wait_projected(receipt)


async def test_where_requests_cannot_be_read_they_are_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    place, switch = Place(), Switch(2)
    bus, views = place.bus(ledger(balances(switch.project, on_poison=PARK)), LIMITS)
    async with bus:
        await bus.send(Deposit("a", 2))
        await bus.wait_settled()
        views.is_down = True
        await anyio.sleep(2)
        views.is_down = False
        assert "requests cannot be read" in caplog.text
        switch.amounts.clear()
        assert (await bus.retry_dead_letters("balances")).is_done


async def test_a_request_survives_the_process_that_began_it() -> None:
    place, switch = Place(), Switch(2)
    application = ledger(balances(switch.project, on_poison=PARK))
    (old, old_views), (new, _) = place.bus(application, LIMITS), place.bus(application, LIMITS)
    async with old, new:
        await old.send(Deposit("a", 2))
        await old.wait_settled()
        switch.amounts.clear()
        old_views.hold("balances")
        old_views.renews = False

        async def ask(bus: Bus) -> None:
            assert (await bus.retry_dead_letters("balances")).is_done

        async with anyio.create_task_group() as group:
            group.start_soon(ask, new)
            await old_views.held("balances")
            await anyio.sleep(20)
            assert here(new) >= {"balances"}
            old_views.let_go("balances")
        assert (await waiting(new), await seen(new)) == ([], [1])


async def test_requests_that_nobody_will_ever_carry_out_do_not_stand_before_others() -> None:
    switch, views = Switch(2), MemoryViewStore()
    async with Bus(ledger(balances(switch.project, version=2, on_poison=PARK)), view_store=views, limits=LIMITS) as bus:
        await bus.send(Deposit("a", 2))
        await bus.wait_settled()
        for number in range(250):
            await views.ask(request(number))
        switch.amounts.clear()
        done = await bus.retry_dead_letters("balances", timeout=5)
        assert (done.is_done, await seen(bus)) == (True, [1])
