"""The simulated stores keep the laws of their ports while nothing goes wrong, and fail in the ways they announce."""

import asyncio
import itertools
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any

import msgspec
import pytest

from bus import Limits, StoreUnavailable
from bus.core.stored import Append, Checkpoint, Claim, NewEvent, StoredView, ViewChanges, table_of
from bus.testing import Faults
from bus.testing.simulation.asking import at_once
from bus.testing.simulation.loop import Process, SimulatedLoop, simulated_loop
from bus.testing.simulation.stores import SimulatedEventStore, SimulatedViewStore
from bus.testing.simulation.world import EPOCH, Broken, World
from tests.simulation.planted_sharing import commit_views_in_any_epoch
from tests.simulation.shop import SHELVES, SHOP, Stock

STOCKED = NewEvent("stocked", b'{"$type":"stocked","count":3}')
BATCH = [Append("item-a", 0, (STOCKED,), "c1", Stock("a", 3))]
TABLE = table_of(SHELVES)
NEXT = msgspec.structs.replace(TABLE, build=1)
SHELF = StoredView("a", b'{"item":"a","left":3,"events":1}', (3,))
NONE = Faults.none()


def world(buses: float = 1, **rates: float) -> World:
    """A world in which only that goes wrong, and always."""
    made = World(SHOP, 1, faults=NONE, limits=Limits(batch_commands_max=1), invariants=(), buses=int(buses))
    made.faults = Faults(**{name: rates.get(name, 0) for name in NONE.__struct_fields__})  # type: ignore[arg-type]
    made.is_shared = True
    made.sent["c1"] = [Stock("a", 3)]
    made.prepare([TABLE])
    return made


def events(of: World, check: Callable[[], None] = lambda: None) -> SimulatedEventStore:
    return SimulatedEventStore(of, lambda: Stock("a", 3), check)


def run(coroutine: Coroutine[Any, Any, Any], loop: SimulatedLoop | None = None) -> tuple[Any, float]:
    """The outcome, an exception as a value, and when it came."""
    loop = loop or simulated_loop(World(SHOP, 1, faults=NONE, limits=Limits(), invariants=()).schedule, 0.0)

    async def main() -> Any:
        try:
            return await coroutine
        except Exception as error:
            return error

    return loop.run(main(), lambda: False), loop.time()


def test_an_append_is_on_the_disk() -> None:
    one = world()
    outcome, _ = run(events(one).append(BATCH, EPOCH))
    assert (outcome.position_before, outcome.refused) == (0, {})
    assert one.model.head == 1


@pytest.mark.parametrize(
    ("fault", "error", "events_after"),
    [
        ("append_refused", StoreUnavailable, 0),
        ("append_lost", Broken, 0),
        ("append_late", Broken, 0),
        ("answer_lost", Broken, 1),
    ],
)
def test_an_append_fails_in_each_way(fault: str, error: type[Exception], events_after: int) -> None:
    one = world(**{fault: 1.0})
    outcome, _ = run(events(one).append(BATCH, EPOCH))
    assert isinstance(outcome, error)
    assert one.model.head == events_after
    assert len(one.late) == (fault == "append_late")


def test_another_writer_is_first() -> None:
    one = world(foreign_append=1.0)
    outcome, _ = run(events(one).append(BATCH, EPOCH))
    assert list(outcome.refused) == [0]
    assert one.model.head == 1


def test_time_passes_where_a_store_is_slow_or_hangs() -> None:
    assert run(events(world()).head())[1] == 0
    assert 0 < run(events(world(slow=1.0)).head())[1] < 1
    assert run(events(world(hang=1.0)).head())[1] >= 1


def test_reads_fail() -> None:
    store = events(world(read_fails=1.0))
    views = SimulatedViewStore(world(view_read_fails=1.0))
    reads: list[Coroutine[Any, Any, Any]] = [
        store.head(),
        store.page(0, 9),
        store.stream_pages({}, 9),
        store.histories({}, 9),
        store.find_commands([]),
        views.prepare([TABLE]),
        views.load(TABLE, []),
        views.build(NEXT, EPOCH),
        views.switch(NEXT, 0, TABLE, EPOCH),
        views.drop(NEXT),
        views.builds(),
    ]
    assert all(isinstance(run(read)[0], StoreUnavailable) for read in reads)


def test_reads_give_what_is_on_the_disk() -> None:
    one = world()
    run(events(one).append(BATCH, EPOCH))
    store = events(one)
    assert run(store.head())[0] == 1
    assert [stored.stream for stored in run(store.page(0, 9))[0]] == ["item-a"]
    assert [stored.version for stored in run(store.stream_pages({"item-a": 0}, 9))[0]] == [1]
    assert [history.version for history in run(store.histories({"item-a": 0}, 9))[0]] == [1]
    assert list(run(store.find_commands(["c1", "c2"]))[0]) == ["c1"]


@pytest.mark.parametrize("batch", [[*BATCH, *BATCH], []], ids=["too many", "none"])
def test_a_batch_beyond_its_limits_or_of_nothing_is_a_violation(batch: list[Append]) -> None:
    one = world()
    checks = itertools.count()
    run(events(one, lambda: (next(checks), None)[1]).append(batch, EPOCH))
    assert one.violation is not None
    assert next(checks) == 1, "the process is looked at as well"


@pytest.mark.parametrize(
    ("fault", "error", "position"),
    [("view_commit_refused", StoreUnavailable, 0), ("view_commit_lost", Broken, 0), ("view_answer_lost", Broken, 1)],
)
def test_a_commit_of_views_fails_in_each_way(fault: str, error: type[Exception], position: int) -> None:
    one = world(**{fault: 1.0})
    at_once(one.events.append(BATCH, EPOCH))
    changes = ViewChanges(Checkpoint(), Checkpoint(1), (), ())
    assert isinstance(run(SimulatedViewStore(one).commit(TABLE, changes))[0], error)
    assert one.checkpoints()["shelves"].position == position


@pytest.mark.parametrize("is_lost", [False, True])
def test_a_switch_and_a_drop_happen_whether_or_not_the_answer_arrives(is_lost: bool) -> None:
    one = world(view_answer_lost=float(is_lost))
    store = SimulatedViewStore(one)
    run(store.build(NEXT, EPOCH))
    outcomes = [run(store.switch(NEXT, 0, TABLE, EPOCH))[0]]
    assert [build.state for build in at_once(one.views.builds())] == ["replaced", "answering"]
    outcomes.append(run(store.drop(TABLE))[0])
    assert [build.table for build in at_once(one.views.builds())] == [NEXT]
    assert [type(outcome) for outcome in outcomes] == [Broken if is_lost else bool] * 2


def test_a_snapshot_knows_the_least_checkpoint_that_was_read_from_it() -> None:
    one = world()
    store = SimulatedViewStore(one)

    async def read() -> list[int | None]:
        least = [store.least_read()]
        async with store.snapshot() as reader:
            least.append(store.least_read())
            assert await reader.get(TABLE, "a") is None
            assert await reader.find(TABLE, {}, None, False, 9) == []
            assert (await reader.checkpoint(TABLE)).position == 0
        return [*least, store.least_read()]

    assert run(read())[0] == [None, None, 0]


async def claimed(store: SimulatedViewStore, owner: str, lease_s: float = 60.0) -> Claim:
    return (await store.claim([TABLE], owner, lease_s))[TABLE]


def test_a_lease_is_claimed_and_given_up_for_a_life() -> None:
    one = world(2)
    a, b = SimulatedViewStore(one, "A"), SimulatedViewStore(one, "B")

    async def take_turns() -> list[Claim]:
        claims = [await claimed(a, "of a"), await claimed(b, "of b")]
        await a.release([TABLE], "of a")
        return [*claims, await claimed(b, "of b")]

    claims = run(take_turns())[0]
    assert [(claim.owner, claim.epoch) for claim in claims] == [("of a", 1), ("of a", 1), ("of b", 2)]
    assert one.holders() == {"shelves": "B"}
    assert one.violation is None


def test_a_lease_may_lapse_although_its_holder_is_alive() -> None:
    one = world(2, lease_lapses=1.0)
    assert run(claimed(SimulatedViewStore(one, "A"), "of a"))[0].epoch == 1
    assert run(claimed(SimulatedViewStore(one, "A"), "of a"))[0].epoch == 1, "it is nobody's own that lapses"
    assert run(claimed(SimulatedViewStore(one, "B"), "of b"))[0].owner == "of b"
    assert one.violation is None


def test_the_answer_to_a_claim_may_be_lost_and_the_lease_is_granted() -> None:
    one = world(2, view_answer_lost=1.0)
    assert isinstance(run(claimed(SimulatedViewStore(one, "A"), "of a"))[0], StoreUnavailable)
    assert one.holders() == {"shelves": "A"}


def test_who_commits_without_the_lease_is_told_where_the_store_lets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    commit_views_in_any_epoch(monkeypatch)
    one = world(2)
    run(events(one).append(BATCH, EPOCH))
    run(claimed(SimulatedViewStore(one, "A"), "of a", 0.0))
    run(claimed(SimulatedViewStore(one, "B"), "of b"))
    run(SimulatedViewStore(one, "A").commit(TABLE, ViewChanges(Checkpoint(), Checkpoint(1), (), (), 1)))
    assert one.violation is not None
    assert "A changed the views of 'shelves' in epoch 1, although B holds them in epoch 2" in one.violation


def test_a_shared_store_does_what_it_got_while_its_client_stands_still() -> None:
    """Over some worlds, since chance decides whether a request is on its way when the process is held."""
    done = 0
    for seed in range(20):
        one = world(2)
        one.chance = Random(seed)
        run(events(one).append(BATCH, EPOCH))
        epoch = run(claimed(SimulatedViewStore(one, "A"), "of a"))[0].epoch
        loop = simulated_loop(one.schedule, 0.0)
        answers: list[bool] = []

        async def commit(one: World = one, epoch: int = epoch, answers: list[bool] = answers) -> None:
            changes = ViewChanges(Checkpoint(), Checkpoint(1), (SHELF,), (), epoch)
            answers.append(await SimulatedViewStore(one, "A").commit(TABLE, changes))

        async def main(one: World = one, loop: SimulatedLoop = loop, answers: list[bool] = answers) -> None:
            process = Process("A")
            with loop.within(process):
                task = loop.create_task(commit())
            for _ in range(4):
                await asyncio.sleep(0)
            loop.hold(process)
            await asyncio.sleep(10)
            nonlocal done
            done += one.checkpoints()["shelves"].position == 1 and not answers
            loop.let_go(process)
            await task

        run(main(), loop)
        assert len(answers) == 1
        assert one.violation is None
    assert done > 0


def test_a_commit_of_views_may_happen_after_it_has_failed() -> None:
    one = world(2, view_commit_late=1.0)
    run(events(one).append(BATCH, EPOCH))
    epoch = run(claimed(SimulatedViewStore(one, "A"), "of a"))[0].epoch

    async def commit() -> int:
        with pytest.raises(Broken, match="gone"):
            await SimulatedViewStore(one, "A").commit(
                TABLE, ViewChanges(Checkpoint(), Checkpoint(1), (SHELF,), (), epoch)
            )
        before = one.checkpoints()["shelves"].position
        await asyncio.sleep(10)
        return before

    assert run(commit())[0] == 0
    assert one.checkpoints()["shelves"].position == 1
