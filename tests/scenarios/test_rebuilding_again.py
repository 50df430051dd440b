"""What happens a second time: to a request whose process crashed, and to a release that was taken back."""

import anyio
import msgspec
import pytest

from bus import Bus, MemoryEventStore, MemoryViewStore
from tests.scenarios.test_rebuilding import QUICK, fill
from tests.scenarios.test_rebuilding_races import BACK, ForgetfulViewStore
from tests.support.building import TurningClock, raised, request_for, states_of
from tests.support.ledger import LEDGER, Deposit


async def test_a_rebuild_whose_process_ended_before_its_answer_was_kept_is_not_done_again() -> None:
    events, views, request = MemoryEventStore(), ForgetfulViewStore(), request_for("rebuild", version=2)
    views.gate.set()
    await fill(events, views)
    async with Bus(raised(), event_store=events, view_store=views, limits=QUICK, clock=TurningClock()) as bus:
        await bus.wait_settled()
    await anyio.sleep(1)
    views.is_hanging = True
    async with views:
        await views.ask(msgspec.structs.replace(request, asked_at=TurningClock().now()))
    await anyio.sleep(1)
    async with Bus(raised(), event_store=events, view_store=views, limits=QUICK, clock=TurningClock()) as bus:
        await anyio.sleep(5)
        assert (2, 1, "answering") in await states_of(views)
    views.is_hanging = False
    async with Bus(raised(), event_store=events, view_store=views, limits=QUICK, clock=TurningClock()) as bus:
        await anyio.sleep(5)
        assert {place[:2] for place in await states_of(views)} == {(1, 0), (2, 0), (2, 1)}
        answered = await views.asked(request.id)
        assert answered is not None
        assert (answered.is_done, answered.answer) == (True, "version 2 build 1 was built, and is answering")


async def test_a_drop_that_is_carried_out_twice_drops_nothing_else_the_second_time() -> None:
    events, views = MemoryEventStore(), ForgetfulViewStore()
    views.gate.set()
    await fill(events, views)
    async with Bus(raised(), event_store=events, view_store=views, limits=QUICK, clock=TurningClock()) as bus:
        await bus.wait_settled()
        await bus.ask_projection("balances", "rebuild")
        await bus.wait_settled()
        assert await states_of(views) == [(1, 0, "replaced"), (2, 0, "replaced"), (2, 1, "answering")]
        views.is_hanging = True
        asked = await bus.ask_projection("balances", "drop", timeout=2)
        assert asked.answered_at is None
        assert asked.to_drop == (2, 0)
    views.is_hanging = False
    async with Bus(raised(), event_store=events, view_store=views, limits=QUICK, clock=TurningClock()):
        await anyio.sleep(1)
        assert await states_of(views) == [(1, 0, "replaced"), (2, 1, "answering")]
        answered = await views.asked(asked.id)
        assert answered is not None
        assert answered.answer == "there is no version 2 build 0: it was dropped already, or never was"


@pytest.mark.parametrize("pause_s", [1, 120])
async def test_a_release_that_was_taken_back_answers_again_once_it_is_built_anew_or_asked_for(pause_s: float) -> None:
    events, views = MemoryEventStore(), MemoryViewStore()
    await fill(events, views)
    async with Bus(raised(), event_store=events, view_store=views, limits=QUICK, clock=TurningClock()) as bus:
        await bus.wait_settled()
        await bus.ask_projection("balances", "switch")
    async with Bus(LEDGER, event_store=events, view_store=views, limits=QUICK, clock=TurningClock()) as bus:
        await bus.send(Deposit("a-0"))
        await bus.wait_settled()
        assert await states_of(views) == BACK
        await anyio.sleep(pause_s)
        # That release knows nothing of the later one, and leaves it alone.
        assert await states_of(views) == BACK
    async with Bus(raised(), event_store=events, view_store=views, limits=QUICK, clock=TurningClock()) as bus:
        await bus.wait_settled()
        await anyio.sleep(1)
        if pause_s < QUICK.replaced_grace_s:
            assert await states_of(views) == BACK
            assert (await bus.ask_projection("balances", "switch")).answer == "version 2 answers now"
        else:
            # What was replaced for so long is dropped, as it would be without a restart.
            assert await states_of(views) == [(1, 0, "answering")]
    async with Bus(raised(), event_store=events, view_store=views, limits=QUICK, clock=TurningClock()) as bus:
        await bus.wait_settled()
        assert await states_of(views) == [(1, 0, "replaced"), (2, 0, "answering")]
