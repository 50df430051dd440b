"""Rebuilding: what is asked of a projection's builds is carried out where what answers is run, and answered."""

import dataclasses

import anyio
import msgspec

from bus import Bus, Limits, MemoryEventStore, MemoryViewStore, Transaction
from bus.core.letters import Request
from bus.core.stored import ViewTable
from bus.read.lineage import Lineage
from bus.read.projector import Projector
from bus.read.rebuilding import Rebuilding
from tests.bus.read.test_leases import Place, here
from tests.support.building import (
    HeldViewStore,
    TurningClock,
    projector_of,
    raised,
    request_for,
    services_of,
    states_of,
)
from tests.support.ledger import LEDGER, Deposit, balances
from tests.support.lines import Own, bookkeeping, lines
from tests.support.projecting import of
from tests.support.sql_views import ToldSqlViewStore

LIMITS = Limits(poll_interval_s=0.5)


async def ask(bus: Bus, views: MemoryViewStore, request: Request) -> Request:
    """What is answered to a request that somebody has left in the store."""
    await views.ask(request)
    while True:
        found = await views.asked(request.id)
        assert found is not None
        if found.answered_at is not None:
            return found
        await bus.wait_settled()
        await anyio.sleep(0.1)


async def leftover(views: MemoryViewStore, *tables: ViewTable) -> None:
    """Views of a release that nobody runs any more."""
    for table in tables:
        await views.build(table, TurningClock().now())


async def test_a_version_that_nobody_knows_is_dropped_by_who_runs_what_answers() -> None:
    views = MemoryViewStore()
    async with Bus(LEDGER, view_store=views, limits=LIMITS) as bus:
        await bus.send(Deposit("a"))
        await leftover(views, ViewTable("balances", 7), ViewTable("balances", 7, (), 1), ViewTable("balances", 8))
        done = await ask(bus, views, request_for("drop", to_drop=(7, None)))
        assert (done.is_done, done.answer) == (True, "version 7 and version 7 build 1 were dropped")
        assert await states_of(views) == [(1, 0, "answering"), (8, 0, "building")]
        done = await ask(bus, views, request_for("drop", to_drop=(8, 0)))
        assert done.answer == "version 8 was dropped"


async def test_what_answers_is_not_dropped_by_its_name_either() -> None:
    views = MemoryViewStore()
    async with Bus(LEDGER, view_store=views, limits=LIMITS) as bus:
        await bus.send(Deposit("a"))
        await bus.ask_projection("balances", "rebuild")
        await bus.wait_settled()
        assert await states_of(views) == [(1, 0, "replaced"), (1, 1, "answering")]
        refused = await ask(bus, views, request_for("drop", to_drop=(1, 1)))
        assert (refused.is_done, refused.answer) == (False, "version 1 build 1 answers, and was not dropped")
        # It has not even been held up.
        before = of(bus.statistics()).batches
        await bus.send(Deposit("a"))
        await bus.wait_settled()
        assert of(bus.statistics()).batches == before + 1 > 1
        done = await ask(bus, views, request_for("drop", to_drop=(1, None)))
        assert (done.is_done, done.answer) == (True, "version 1 was dropped")
        refused = await ask(bus, views, request_for("drop", to_drop=(9, 2)))
        assert (refused.is_done, refused.answer) == (
            False,
            "there is no version 9 build 2: it was dropped already, or never was",
        )
        assert await states_of(views) == [(1, 1, "answering")]


async def test_a_build_that_is_run_here_is_closed_before_it_is_dropped() -> None:
    events, views = MemoryEventStore(), HeldViewStore()
    async with Bus(LEDGER, event_store=events, view_store=views) as bus:
        await bus.send(Deposit("a"))
        await bus.wait_settled()
    async with Bus(raised(), event_store=events, view_store=views, limits=LIMITS) as bus:
        assert await states_of(views) == [(1, 0, "answering"), (2, 0, "building")]
        done = await ask(bus, views, request_for("drop", to_drop=(2, None)))
        assert done.answer == "version 2 was dropped"
        await bus.send(Deposit("a"))
        await bus.wait_settled()
        assert await states_of(views) == [(1, 0, "answering")]
        assert bus.statistics().restarts == 0


async def test_a_process_that_does_not_run_what_answers_leaves_requests_to_the_one_that_does() -> None:
    place = Place()
    (one, _), (other, _) = place.bus(LEDGER, LIMITS), place.bus(LEDGER, LIMITS)
    async with one, other:
        await one.send(Deposit("a"))
        await one.wait_settled()
        assert here(other) == set()
        done = await other.ask_projection("balances", "rebuild")
        assert done.answer == "version 1 build 1 is being built, and answers once it has caught up"
        await one.wait_settled()
        await other.wait_settled()
        assert await states_of(place.kept) == [(1, 0, "replaced"), (1, 1, "answering")]


async def test_a_request_is_taken_once() -> None:
    services = services_of()
    made = Rebuilding(services)
    looks: list[int] = []
    made.on_ask = lambda: looks.append(1)
    request = request_for("switch")
    made.ask(request)
    made.ask(request)
    assert looks == [1]


class Nobody:
    """Keeps no builds."""

    async def reload(self, lineage: Lineage) -> None:
        raise AssertionError("nothing was changed")

    async def drop(self, lineage: Lineage, projector: Projector) -> bool:
        raise AssertionError("nothing is to be dropped")


async def test_what_is_another_process_s_business_is_forgotten_here_and_not_answered() -> None:
    services = services_of()
    made, lineage = Rebuilding(services), Lineage(balances(), services.new_reply)
    lineage.adopt(projector_of(services, balances()))
    request = request_for("switch")
    async with services.view_store as views:
        await views.ask(request)
        made.ask(request)
        assert not await made.carry_out(lineage, Nobody())
        assert await views.asked(request.id) == request
        # It stopped here, and nobody else can do anything about it.
        lineage.answers.progress.stop(1, "a bug")
        made.ask(request)
        assert await made.carry_out(lineage, Nobody())
        answered = await views.asked(request.id)
        assert answered is not None
        assert "nothing to switch to" in answered.answer


async def nothing(transaction: Transaction) -> None:
    """The tables of the version before are taken over as they are."""


async def test_the_version_before_of_a_batch_projection_is_dropped_by_its_number() -> None:
    events, views, own = MemoryEventStore(), ToldSqlViewStore(), Own()
    for version in (1, 2):
        projection = lines(version=version)
        if version == 2:
            projection = dataclasses.replace(projection, setup=nothing)
        application = bookkeeping(own.reads, projection)
        async with Bus(application, event_store=events, view_store=views, limits=LIMITS) as bus:
            await bus.send(Deposit("a"))
            await bus.wait_settled()
            assert (await bus.ask_projection("lines", "rebuild")).is_done is False
            if version == 2:
                request = msgspec.structs.replace(request_for("drop", version=2, to_drop=(1, None)), projection="lines")
                done = await ask(bus, views.kept, request)
                assert (done.is_done, done.answer) == (True, "version 1 was dropped")
                assert await states_of(views.kept, "lines") == [(2, 0, "answering")]


async def test_letters_of_a_version_that_is_gone_and_that_nobody_knows_are_said_to_be_gone_too() -> None:
    views = MemoryViewStore()
    async with Bus(raised(version=5), view_store=views, limits=LIMITS) as bus:
        await bus.send(Deposit("a"))
        gone = await ask(bus, views, request_for("retry", version=3))
        assert (gone.is_done, gone.answer) == (
            False,
            "the views of version 3 are no longer there, nor are their letters",
        )
        # Those that are there are the business of whoever knows them.
        await leftover(views, ViewTable("balances", 4))
        await views.ask(waiting := msgspec.structs.replace(request_for("retry", version=4), id="waits"))
        await anyio.sleep(5)
        assert await views.asked("waits") == waiting
        assert await views.drop(ViewTable("balances", 4))
        await anyio.sleep(5)
        answered = await views.asked("waits")
        assert answered is not None
        assert "version 4 are no longer there" in answered.answer
