"""Switching: another build answers only where it is run here and has seen all that the one before it has."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio

from bus import Limits, MemoryViewStore
from bus.core.stored import ViewChanges, ViewTable
from bus.read.lineage import Lineage
from bus.read.projector import Projector
from bus.read.services import Services
from bus.read.switching import switch
from tests.support.building import TurningClock, at, projector_of, raised, services_of, states_of
from tests.support.ledger import balances

HOUR_S = 3_600.0


class Refusing(MemoryViewStore):
    """Refuses the next switches, as a store does in which the other one has just gone on."""

    refusals = 0

    async def switch(self, *arguments: object) -> bool:
        if self.refusals:
            self.refusals -= 1
            return False
        return await super().switch(*arguments)  # type: ignore[arg-type]


@asynccontextmanager
async def building(position: int = 5) -> AsyncGenerator[tuple[Services, Refusing, Lineage, Projector]]:
    """Version 1 answers at that position; version 2 is beside it, at the beginning, and both are run here."""
    views, application = Refusing(shared=True), raised()
    services = services_of(application, views=views, limits=Limits(switch_pause_s=1.0))
    old, new = projector_of(services, balances()), projector_of(services, application.view_projections[0])
    async with views:
        await views.prepare([old.table])
        await views.build(new.table, TurningClock().now())
        for table, projector in zip((old.table, new.table), (old, new), strict=True):
            projector.hold((await views.claim([table], "me", HOUR_S))[table])
        await reach(services, old, position)
        lineage = Lineage(application.view_projections[0], services.new_reply)
        lineage.builds = {one.table.place: one for one in await views.builds()}
        lineage.projectors = {one.table.place: one for one in (old, new)}
        lineage.adopt(old)
        yield services, views, lineage, new


async def reach(services: Services, projector: Projector, position: int) -> None:
    """Its views are brought to a position."""
    held = {one.table.place: one.checkpoint for one in await services.view_store.builds()}
    changes = ViewChanges(held[projector.table.place], at(position), (), (), projector.epoch)
    assert await services.view_store.commit(projector.table, changes)
    projector.progress.advance(position, frozenset())


def paused(projector: Projector) -> bool:
    return projector._is_paused


async def test_who_has_caught_up_answers_and_the_other_goes_on() -> None:
    async with building() as (services, views, lineage, new):
        await reach(services, new, 5)
        assert await switch(services, lineage, new)
        assert await states_of(views) == [(1, 0, "replaced"), (2, 0, "answering")]
        assert not paused(lineage.answers)


async def test_the_one_that_answers_is_held_up_until_the_other_has_come_as_far() -> None:
    async with building() as (services, _views, lineage, new):
        outcomes: list[bool] = []

        async def do() -> None:
            outcomes.append(await switch(services, lineage, new))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(do)
            await anyio.wait_all_tasks_blocked()
            assert paused(lineage.answers)
            assert outcomes == []
            await reach(services, new, 5)
        assert outcomes == [True]
        assert not paused(lineage.answers)


async def test_it_is_not_held_up_for_longer_than_a_limit() -> None:
    async with building() as (services, views, lineage, new):
        began = anyio.current_time()
        assert not await switch(services, lineage, new)
        assert anyio.current_time() - began == 1.0
        assert not paused(lineage.answers)
        assert await states_of(views) == [(1, 0, "answering"), (2, 0, "building")]


async def test_who_has_stopped_or_is_run_elsewhere_is_not_switched_to() -> None:
    async with building() as (services, _, lineage, new):
        new.progress.stop(1, "a bug")
        assert not await switch(services, lineage, new)
    async with building() as (services, _, lineage, new):
        new.follow(at(5))
        assert not await switch(services, lineage, new)
        assert not paused(lineage.answers)


async def test_a_switch_that_the_store_refuses_is_tried_three_times() -> None:
    for refusals, outcome in ((2, True), (3, False)):
        async with building() as (services, views, lineage, new):
            await reach(services, new, 5)
            views.refusals = refusals
            assert await switch(services, lineage, new) is outcome
            assert not paused(lineage.answers)


async def test_the_first_build_that_is_known_here_replaces_a_version_that_is_not() -> None:
    async with building() as (services, views, lineage, new):
        await reach(services, new, 5)
        lineage.adopt(new)
        assert await switch(services, lineage, new)
        assert await states_of(views) == [(1, 0, "replaced"), (2, 0, "answering")]


async def test_where_nothing_else_is_there_the_first_build_simply_answers() -> None:
    async with building() as (services, views, lineage, _):
        table = ViewTable("journal", 3)
        await views.build(table, TurningClock().now())
        claim = (await views.claim([table], "me", HOUR_S))[table]
        other = Projector(services, lineage.projection, table, claim.checkpoint)
        other.hold(claim)
        lineage.adopt(other)
        assert await switch(services, lineage, other)
        assert (await states_of(views, "journal")) == [(3, 0, "answering")]
