"""Leases: each projection is run by one of the processes that share its views, and by another when that one is gone."""

import json
import logging
from collections.abc import Callable, Mapping, Sequence

import anyio
import anyio.lowlevel
import pytest

from bus import Application, Bus, Limits, MemoryEventStore, MemoryViewStore, ProjectionStopped
from bus.core.errors import StoreUnavailable
from bus.core.stored import Checkpoint, Claim, ViewChanges, ViewTable
from tests.support.ledger import LEDGER, Deposit, GetBalance, GetJournal, balances, ledger, stored_entries
from tests.support.projecting import POISON, Brittle, of
from tests.support.views import Fault, ToldViewStore

ALL = {"balances", "notes", "journal"}
TABLE = ViewTable("balances", 1, ("balance", "account"))


class Place:
    """An event store and a view store that several buses share; each bus sees the views by a store of its own."""

    def __init__(self) -> None:
        self.events = MemoryEventStore(shared=True)
        self.kept = MemoryViewStore(shared=True)

    def bus(self, application: Application = LEDGER, limits: Limits | None = None) -> tuple[Bus, ToldViewStore]:
        views = ToldViewStore(self.kept)
        return Bus(application, event_store=self.events, view_store=views, limits=limits), views


def here(bus: Bus) -> set[str]:
    """What the bus projects."""
    return {one.name for one in bus.statistics().projections if one.is_here}


async def balance_of(bus: Bus, account: str = "a", after: int = 0) -> list[int]:
    """The positions that the account's view has seen."""
    found = await bus.query(GetBalance(account), after=after)
    return found.positions if found is not None else []


async def test_of_two_that_share_their_views_one_projects_and_both_answer() -> None:
    place = Place()
    (one, one_views), (other, other_views) = place.bus(), place.bus()
    async with one, other:
        assert (here(one), here(other)) == (ALL, set())
        for number in range(1, 6):
            receipt = await (one if number % 2 else other).send(Deposit("a", number))
            for bus in (one, other):
                assert await balance_of(bus, after=receipt.position) == list(range(1, number + 1))
        await other.wait_projected(receipt)
        await one.wait_settled()
        await other.wait_settled()
        assert one_views.commits
        assert other_views.commits_tried == 0
        assert [bus.statistics().restarts for bus in (one, other)] == [0, 0]


async def test_who_leaves_lets_another_go_on_long_before_the_lease_would_lapse() -> None:
    place, patient = Place(), Limits(lease_s=1_000, poll_interval_s=0.5)
    (one, _), (other, _) = place.bus(limits=patient), place.bus(limits=patient)
    opened, leave = anyio.Event(), anyio.Event()

    async def work_for_a_while() -> None:
        async with one:
            opened.set()
            await leave.wait()

    async with anyio.create_task_group() as group:
        group.start_soon(work_for_a_while)
        await opened.wait()
        async with other:
            assert here(other) == set()
            await other.send(Deposit("a"))
            started = anyio.current_time()
            leave.set()
            await anyio.sleep(0.6)
            assert here(other) == ALL
            await other.wait_projected(await other.send(Deposit("a")))
            assert anyio.current_time() - started < 1
            assert await balance_of(other) == [1, 2]


async def test_who_was_killed_is_followed_when_its_leases_have_lapsed() -> None:
    place, limits = Place(), Limits(lease_s=20, poll_interval_s=0.5)
    async with place.kept:
        await place.kept.prepare([TABLE])
        await place.kept.claim([TABLE], "killed", 20)
    bus, _ = place.bus(limits=limits)
    async with bus:
        started = anyio.current_time()
        assert here(bus) == ALL - {"balances"}
        await bus.wait_projected(await bus.send(Deposit("a")))
        assert 19 < anyio.current_time() - started < 21
        assert here(bus) == ALL


async def test_nobody_waits_at_the_end_for_views_that_another_process_brings_forward() -> None:
    place = Place()
    (one, one_views), (other, _) = place.bus(), place.bus()
    async with one:
        async with other:
            one_views.hold("balances")
            await other.send(Deposit("a"))
            started = anyio.current_time()
        assert anyio.current_time() - started < 1
        assert other.report is not None
        assert other.report.is_clean
        one_views.let_go("balances")


async def test_who_was_paused_between_fold_and_commit_writes_nothing_and_stands_by(
    caplog: pytest.LogCaptureFixture,
) -> None:
    place = Place()
    (old, old_views), (new, _) = place.bus(), place.bus()
    async with old, new:
        old_views.hold("balances")
        old_views.renews = False
        await old.send(Deposit("a", 1))
        await old_views.held("balances")
        receipt = await new.send(Deposit("a", 2))
        await new.wait_projected(receipt)
        assert here(new) == ALL
        old_views.let_go("balances")
        await anyio.lowlevel.checkpoint()
        assert await balance_of(new, after=receipt.position) == [1, 2]
        # It finds out by the commit, before it can ask whose the lease is.
        await anyio.sleep(0.01)
        assert "balances" not in here(old)
        assert old_views.commits_tried == len(old_views.commits) + 1
        old_views.renews = True
        last = await old.send(Deposit("a", 3))
        assert await balance_of(old, after=last.position) == [1, 2, 3]
        assert await balance_of(new, after=last.position) == [1, 2, 3]
        assert (here(old), here(new)) == (set(), ALL)
        said = [json.loads(record.getMessage()) for record in caplog.records]
        lost = [entry["projection"] for entry in said if entry["event"] == "projection goes on in another process"]
        assert sorted(lost) == sorted(ALL)
        assert old.statistics().restarts == new.statistics().restarts == 0


async def test_a_holder_that_takes_over_again_knows_nothing_of_before() -> None:
    place = Place()
    (old, old_views), (new, _) = place.bus(), place.bus()
    async with old:
        await old.wait_projected(await old.send(Deposit("a", 1)))
        old_views.renews = False
        async with new:
            receipt = await new.send(Deposit("a", 2))
            # Until the lease has lapsed, and then until the new holder has committed.
            await anyio.sleep(60)
            await new.wait_projected(receipt)
            old_views.renews = True
            await anyio.sleep(10)
            assert (here(old), here(new)) == (set(), ALL)
            assert of(old.statistics()).position == 2
        last = await old.send(Deposit("a", 3))
        assert await balance_of(old, after=last.position) == [1, 2, 3]
        assert here(old) == ALL


@pytest.mark.parametrize("fault", ["before", "after", "late"])
@pytest.mark.parametrize("is_taken_over", [False, True])
async def test_a_commit_in_doubt_happens_once_whoever_projects(fault: Fault, is_taken_over: bool) -> None:
    place = Place()
    (old, old_views), (new, _) = place.bus(), place.bus()
    async with old, new:
        old_views.faulty, old_views.renews = "balances", not is_taken_over
        old_views.faults.extend([fault, "before"])
        receipt = await old.send(Deposit("a", 1))
        if is_taken_over:
            old_views.is_down = True
            await anyio.sleep(30)
            old_views.is_down = False
        for bus in (old, new):
            assert await balance_of(bus, after=receipt.position) == [1]
        last = await new.send(Deposit("a", 2))
        for bus in (old, new):
            assert await balance_of(bus, after=last.position) == [1, 2]
        assert here(new) == (ALL if is_taken_over else set())


async def test_what_stops_in_one_process_goes_on_in_another_that_can_do_better() -> None:
    place = Place()
    broken = ledger(balances(Brittle().project))
    (old, _), (new, _) = place.bus(broken), place.bus(ledger(balances()))
    async with old:
        poison = await old.send(Deposit("a", POISON))
        with pytest.raises(ProjectionStopped):
            await old.wait_projected(poison)
        assert here(old) == {"journal"}
        async with new:
            last = await old.send(Deposit("a", 2))
            assert await balance_of(new, after=last.position) == [1, 2]
            assert here(new) == {"balances"}
            # At the next look it sees that somebody got past the event.
            await anyio.sleep(0.6)
            await old.wait_settled()
            assert of(old.statistics()).stopped is None
            assert await balance_of(old, after=last.position) == [1, 2]
        # Now there is nobody else, and what is new does not hurt.
        last = await old.send(Deposit("a", 3))
        assert await balance_of(old, after=last.position) == [1, 2, 3]


async def test_where_nobody_can_do_better_all_who_wait_are_told() -> None:
    place = Place()
    application = ledger(balances(Brittle().project))
    (one, _), (other, _) = place.bus(application), place.bus(application)
    async with one, other:
        receipt = await one.send(Deposit("a", POISON))
        for bus in (one, other, one, other):
            with pytest.raises(ProjectionStopped, match="a bug in project"):
                await bus.query(GetBalance("a"), after=receipt)
        assert [here(one) | here(other), of(one.statistics()).position] == [{"journal"}, 0]


async def test_a_follower_that_watches_sees_what_another_projects() -> None:
    place = Place()
    (one, _), (other, _) = place.bus(), place.bus()
    async with one, other:
        answers = other.watch(GetBalance("a"))
        assert (await anext(answers)).value is None
        for number in range(1, 4):
            receipt = await one.send(Deposit("a", number))
            answer = await anext(answers)
            assert answer.value is not None
            assert (answer.value.positions, answer.position) == (list(range(1, number + 1)), receipt.position)
        await answers.aclose()


async def test_a_view_store_that_is_away_for_long_takes_the_leases_along_and_nothing_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    place = Place()
    bus, views = place.bus()
    async with bus:
        await bus.wait_projected(await bus.send(Deposit("a", 1)))
        views.is_down = True
        receipt = await bus.send(Deposit("a", 2))
        with caplog.at_level(logging.WARNING, "doubledecker"):
            await anyio.sleep(60)
        assert "leases cannot be renewed" in caplog.text
        views.is_down = False
        assert await balance_of(bus, after=receipt.position) == [1, 2]
        journal = await bus.query(GetJournal(), after=receipt)
        assert journal is not None
        assert journal.entries == await stored_entries(place.events)
        assert bus.statistics().restarts == 0


async def test_leases_that_cannot_be_given_up_are_left_to_lapse(caplog: pytest.LogCaptureFixture) -> None:
    place = Place()
    bus, views = place.bus()
    async with bus:
        await bus.wait_settled()
        views.is_down = True
    assert "leases are left to lapse" in caplog.text
    async with place.kept:
        assert (await place.kept.claim([TABLE], "other", 1))[TABLE].owner != "other"


async def test_views_that_another_event_store_has_filled_meanwhile_stop_the_projection() -> None:
    place = Place()
    bus, views = place.bus()
    async with bus:
        views.renews = False
        elsewhere = Checkpoint(7, "another store", "x-1", 1)
        claim = (await place.kept.claim([TABLE], "stranger", 0.0))[TABLE]
        await place.kept.commit(TABLE, ViewChanges(claim.checkpoint, elsewhere, (), (), claim.epoch))
        await place.kept.release([TABLE], claim.owner)
        views.renews = True
        await anyio.sleep(10)
        with pytest.raises(ProjectionStopped, match="another event store"):
            await bus.wait_projected(8, "balances")


async def test_a_store_that_refuses_what_it_grants_is_asked_ever_more_slowly() -> None:
    place = Place()
    bus, views = place.bus(limits=Limits(projection_backoff_s=0.1, projection_backoff_max_s=10))

    async def refuse(table: ViewTable, changes: ViewChanges) -> bool:
        views.commits_tried += 1
        return False

    async with bus:
        commit, views.commit = views.commit, refuse  # type: ignore[method-assign]
        receipt = await bus.send(Deposit("a", 1))
        await anyio.sleep(100)
        # By three projections, each at first after a tenth of a second, at last every ten seconds.
        assert 3 * 10 < views.commits_tried < 3 * 30
        views.commit = commit  # type: ignore[method-assign]
        assert await balance_of(bus, after=receipt.position) == [1]


async def test_who_shares_views_but_not_the_events_they_are_made_from_is_told_and_waits_for_nothing() -> None:
    place = Place()
    (one, _), (other, other_views) = place.bus(), place.bus()
    other = Bus(LEDGER, event_store=MemoryEventStore(), view_store=other_views)
    async with one, other:
        for _ in range(5):
            receipt = await one.send(Deposit("a"))
        await one.wait_projected(receipt)
        mine = await other.send(Deposit("a"))
        with pytest.raises(ProjectionStopped, match="another event store"):
            await other.query(GetBalance("a"), after=mine)
        await anyio.sleep(60)
        assert [projection.stopped is None for projection in other.statistics().projections] == [False] * len(ALL)
        assert here(one) == ALL


async def test_an_opening_that_fails_gives_up_what_it_had_got_already() -> None:
    class Failing(ToldViewStore):
        async def parked(self, table: ViewTable) -> Mapping[str, int]:
            raise StoreUnavailable("it fails after the leases were taken", store=self.url)

    place = Place()
    with pytest.raises(StoreUnavailable):
        async with Bus(LEDGER, event_store=place.events, view_store=Failing(place.kept)):
            pass
    bus, _ = place.bus(limits=Limits(lease_s=1_000))
    async with bus:
        assert here(bus) == ALL


async def test_what_others_record_while_the_bus_is_taken_apart_is_no_work_of_its_own() -> None:
    class Telling(MemoryEventStore):
        async def follow(self, heard: Callable[[int], None]) -> None:
            try:
                await anyio.sleep_forever()
            finally:
                heard(99)

    async with Bus(LEDGER, event_store=Telling(shared=True), view_store=MemoryViewStore(shared=True)) as bus:
        await bus.send(Deposit("a"))
    assert bus.report is not None
    assert bus.report.is_clean


async def test_a_claim_that_is_never_answered_keeps_nobody_from_following_for_longer_than_a_lease() -> None:
    class Silent(ToldViewStore):
        is_silent = False

        async def claim(self, tables: Sequence[ViewTable], owner: str, lease_s: float) -> Mapping[ViewTable, Claim]:
            if self.is_silent:
                self.is_silent = False
                await anyio.sleep_forever()
            return await super().claim(tables, owner, lease_s)

    place, limits = Place(), Limits(lease_s=3)
    silent = Silent(place.kept)
    one = Bus(LEDGER, event_store=place.events, view_store=silent, limits=limits)
    other, _ = place.bus(limits=limits)
    async with one, other:
        silent.is_silent = True
        await anyio.sleep(3)
        receipt = await other.send(Deposit("a"))
        await other.wait_projected(receipt, timeout=4)
        await one.wait_projected(receipt, timeout=4)
        assert (here(one), here(other)) == (set(), ALL)


async def test_leases_are_renewed_in_time_and_not_at_every_look() -> None:
    place = Place()
    bus, views = place.bus(limits=Limits(lease_s=30, poll_interval_s=0.5))
    async with place.kept:
        await place.kept.prepare([TABLE])
        await place.kept.claim([TABLE], "other", 3_600)
        async with bus:
            assert views.claims == [ALL]
            await anyio.sleep(9)
            # What another holds is looked at twice a second, what is here only when a third of its time is over.
            assert len(views.claims) > 15
            assert all(claimed == {"balances"} for claimed in views.claims[1:])
            views.claims.clear()
            await anyio.sleep(2)
            assert views.claims.count(ALL) == 1
