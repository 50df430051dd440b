"""Telling: whoever looks from outside is told what has changed, seldom, and at once where a projection stops."""

import anyio
import pytest

from bus import Bus, Limits, MemoryEventStore, MemoryViewStore, ProjectionStopped
from bus.core.builds import Standing
from bus.core.stored import ViewTable, table_of
from tests.bus.read.test_leases import Place
from tests.support.building import HeldViewStore, TurningClock, builds_of, raised
from tests.support.ledger import BALANCES, LEDGER, Deposit, balances, ledger
from tests.support.projecting import POISON, Brittle

LIMITS = Limits(standing_interval_s=2.0, projection_attempts_max=2)


class Listening(MemoryViewStore):
    """Remembers what it was told, and when."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[tuple[float, str, Standing]] = []
        self.is_deaf = False

    async def tell(self, table: ViewTable, standing: Standing) -> None:
        if self.is_deaf:
            raise ConnectionError("nothing arrives")
        self.told.append((anyio.current_time(), table.projection, standing))
        await super().tell(table, standing)

    def of(self, name: str = "balances") -> list[Standing]:
        return [standing for _, projection, standing in self.told if projection == name]


async def test_what_has_changed_is_told_once_in_an_interval_and_then_no_more() -> None:
    views = Listening()
    async with Bus(LEDGER, view_store=views, limits=LIMITS, clock=TurningClock()) as bus:
        began = anyio.current_time()
        for number in range(150):
            await bus.send(Deposit("a"))
            # Ever more in a second, since an even pace is told once.
            await anyio.sleep(0.05 if number < 50 else 0.03)
        times = [at - began for at, name, _ in views.told if name == "balances"]
        assert times == pytest.approx([2.0, 4.0], abs=0.1)
        assert views.of()[0].events_per_s == pytest.approx(20, rel=0.1)
        await anyio.sleep(30)
        last = views.of()[-1]
        assert (last.events_per_s, last.batch_events, last.stopped) == (0.0, 0.0, None)
        count = len(views.told)
        await anyio.sleep(1_000)
        assert len(views.told) == count


async def test_a_stop_is_told_at_once() -> None:
    views = Listening()
    async with Bus(ledger(balances(Brittle().project)), view_store=views, limits=LIMITS) as bus:
        await bus.send(Deposit("a", POISON))
        await anyio.sleep(0.5)
        (told,) = views.of()
        assert told.stopped is not None
        assert told.last_error == told.stopped
        await anyio.sleep(100)
        assert len(views.of()) == 1
    # It is closed, which mends nothing.
    assert (views.of()[-1].owner, views.of()[-1].stopped) == ("", told.stopped)


async def test_a_store_that_takes_nothing_hinders_nobody_and_is_told_later() -> None:
    views = Listening()
    async with Bus(LEDGER, view_store=views, limits=LIMITS) as bus:
        views.is_deaf = True
        await bus.send(Deposit("a"))
        await bus.wait_settled()
        await anyio.sleep(20)
        assert views.told == []
        assert bus.statistics().restarts == 0
        views.is_deaf = False
        await anyio.sleep(3)
        assert len(views.of()) == 1
        views.is_deaf = True
    assert bus.report is not None
    assert bus.report.is_clean


async def test_who_leaves_says_so_of_what_was_told() -> None:
    events, views = MemoryEventStore(), Listening()
    async with Bus(LEDGER, event_store=events, view_store=views, limits=LIMITS) as bus:
        await bus.send(Deposit("a"))
    assert views.told == []
    async with Bus(LEDGER, event_store=events, view_store=views, limits=LIMITS) as bus:
        await bus.send(Deposit("a"))
        await anyio.sleep(3)
        assert views.of()[-1].owner.count("/") == 2
    assert (views.of()[-1].owner, views.of()[-1].events_per_s) == ("", 0.0)


async def test_only_who_projects_tells() -> None:
    place = Place()
    (one, views), (other, _) = place.bus(LEDGER, LIMITS), place.bus(LEDGER, LIMITS)
    table = table_of(BALANCES)
    owners: list[str] = []
    async with other:
        async with one:
            await one.send(Deposit("a"))
            for _ in range(2):
                await anyio.sleep(5)
                (told,) = [found.standing for found in await builds_of(place.kept)]
                assert told is not None
                owners.append(told.owner)
                assert told.owner == (await place.kept.claim([table], "nobody", 1.0))[table].owner
        await anyio.sleep(5)
    assert len(set(owners)) == 1
    assert views.tells == 0
    async with one:
        await anyio.sleep(5)
        (told,) = [found.standing for found in await builds_of(place.kept)]
        assert told is not None
        assert told.owner not in ("", *owners)


async def test_of_views_that_were_dropped_nothing_is_told() -> None:
    events, views = MemoryEventStore(), HeldViewStore()
    async with Bus(LEDGER, event_store=events, view_store=views) as bus:
        await bus.send(Deposit("a"))
        await bus.wait_settled()
    async with Bus(raised(), event_store=events, view_store=views, limits=LIMITS) as bus:
        await anyio.sleep(3)
        assert [one.standing is not None for one in await builds_of(views)] == [True, True]
        await bus.ask_projection("balances", "drop")
        await anyio.sleep(5)
        assert len(await builds_of(views)) == 1
        assert bus.statistics().restarts == 0


async def test_who_had_stopped_says_nothing_at_its_end_of_what_another_process_has_brought_further() -> None:
    events, views, closing = MemoryEventStore(shared=True), MemoryViewStore(shared=True), anyio.Event()

    async def run_the_other() -> None:
        application = ledger(balances(Brittle().project))
        async with Bus(application, event_store=events, view_store=views, limits=LIMITS) as other:
            await other.send(Deposit("a", POISON))
            with pytest.raises(ProjectionStopped, match="stopped at position 1"):
                await other.wait_projected(1, "balances")
            await closing.wait()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run_the_other)
        await anyio.sleep(10)
        async with Bus(ledger(BALANCES), event_store=events, view_store=views, limits=LIMITS) as bus:
            await bus.wait_projected(1, "balances")
            await anyio.sleep(100)
            closing.set()
            await anyio.sleep(100)
            (build,) = await builds_of(views)
            assert build.standing is not None
            assert build.standing.stopped is None
            assert build.standing.owner
