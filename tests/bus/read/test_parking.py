"""Parking: a key with an event that fails waits, event by event, while all others go on."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial

import anyio
import pytest

from bus import PARK, Bus, Limits, MemoryEventStore, Parked, ProjectionStopped, Recorded, Removed
from bus.core.stored import Checkpoint, ViewTable
from bus.read.folding import Touch
from bus.read.parking import Failure, Parking, storable
from tests.support.ledger import (
    AccountEvent,
    Balance,
    Deposit,
    GetBalance,
    GetBalances,
    NoteWritten,
    balances,
    ledger,
    project_balance,
    record,
)
from tests.support.projecting import POISON, Brittle, journal_matches, of
from tests.support.views import Fault, ToldViewStore

NOON = datetime(2013, 1, 1, 12, tzinfo=UTC)
TABLE = ViewTable("balances", 1)
PARKING = ledger(balances(Brittle().project, on_poison=PARK))


async def positions(bus: Bus, account: str) -> list[int]:
    found = await bus.query(GetBalance(account))
    return found.positions if found is not None else []


async def letters(bus: Bus, key: str | None = None) -> list[tuple[str, int, bool]]:
    """Key and position of each letter, and whether it failed itself."""
    return [(one.key, one.position, one.error is not None) async for one in bus.dead_letters("balances", key=key)]


async def test_a_poisoned_key_waits_from_there_on_and_all_others_go_on(caplog: pytest.LogCaptureFixture) -> None:
    store = MemoryEventStore()
    async with Bus(PARKING, event_store=store) as bus:
        for command in (Deposit("a"), Deposit("b"), Deposit("a", POISON), Deposit("b"), Deposit("a"), Deposit("c")):
            await bus.send(command)
        await bus.wait_settled()
        assert await letters(bus) == [("a", 3, True), ("a", 5, False)]
        assert [await positions(bus, account) for account in "abc"] == [[1], [2, 4], [6]]
        (first, _) = [one async for one in bus.dead_letters()]
        assert first.error is not None
        assert first.error.startswith("ZeroDivisionError: a bug in project")
        assert (first.attempts, first.name, first.stream, first.stream_version) == (5, "deposited", "account-a", 2)
        assert first.first_at <= first.last_at
        assert "events are parked" in caplog.text
        found = of(bus.statistics())
        assert (found.parked_keys, found.dead_letters, found.stopped, found.lag_events) == (1, 2, None, 0)
        assert bus.statistics().dead_letters == 2
        assert await journal_matches(bus, store)


async def test_what_was_parked_is_known_after_a_restart_and_goes_on_waiting() -> None:
    store, views = MemoryEventStore(), ToldViewStore()
    async with Bus(PARKING, event_store=store, view_store=views) as bus:
        await bus.send_many([Deposit("a", POISON), Deposit("a"), Deposit("b")])
    async with Bus(ledger(balances(on_poison=PARK)), event_store=store, view_store=views) as bus:
        await bus.send_many([Deposit("a"), Deposit("b")])
        await bus.wait_settled()
        assert await letters(bus) == [("a", 1, True), ("a", 2, False), ("a", 4, False)]
        assert [await positions(bus, account) for account in "ab"] == [[], [3, 5]]
    # Letters wait, whatever the projection declares now.
    async with Bus(ledger(balances()), event_store=store, view_store=views) as bus:
        await bus.send(Deposit("a"))
        await bus.wait_settled()
        assert await letters(bus, "a") == [("a", 1, True), ("a", 2, False), ("a", 4, False), ("a", 6, False)]


@pytest.mark.parametrize("waiting", ["query", "wait_projected", "position"])
async def test_who_waits_for_a_parked_event_is_told_at_once(waiting: str) -> None:
    views = ToldViewStore()
    async with Bus(PARKING, view_store=views) as bus:
        await bus.send(Deposit("a"))
        views.hold("journal")
        poisoned = await bus.send(Deposit("a", POISON))
        behind = await bus.send(Deposit("a", 5, times=3))
        beside = await bus.send(Deposit("b"))
        started = anyio.current_time()
        for receipt, why in ((poisoned, "a bug in project"), (behind, "behind an earlier one")):
            calls: dict[str, Callable[[], Awaitable[object]]] = {
                "query": partial(bus.query, GetBalance("b"), after=receipt),
                # The journal, which is waited for as well, is on its way for much longer.
                "wait_projected": partial(bus.wait_projected, receipt),
                "position": partial(bus.wait_projected, receipt.position, "balances"),
            }
            with pytest.raises(Parked, match=why) as caught:
                await calls[waiting]()
            assert (caught.value.projection, caught.value.key) == ("balances", "a")
            assert receipt.position - len(receipt.events) < caught.value.position <= receipt.position
        assert anyio.current_time() - started < 2
        assert await bus.query(GetBalance("b"), after=beside) is not None
        await bus.wait_projected(beside, "balances")
        views.let_go("journal")


async def test_a_command_that_recorded_nothing_has_nothing_parked() -> None:
    async with Bus(PARKING) as bus:
        await bus.send(Deposit("a", POISON))
        nothing = await bus.send(Deposit("b", times=0))
        assert nothing.position == 1
        assert await bus.query(GetBalances(), after=nothing) == []
        await bus.wait_projected(nothing)


async def test_of_an_event_that_touches_several_keys_only_those_that_fail_wait() -> None:
    def project(view: Balance | None, recorded: Recorded[AccountEvent], key: str) -> Balance | Removed:
        if key == "bad":
            raise LookupError("bad key")
        return project_balance(view, recorded, key)

    application = ledger(balances(project, key=lambda one: (one.stream_id, "bad", "all"), on_poison=PARK))
    async with Bus(application) as bus:
        await bus.send_many([Deposit("a"), Deposit("b")])
        await bus.wait_settled()
        assert await letters(bus) == [("bad", 1, True), ("bad", 2, False)]
        assert [await positions(bus, key) for key in ("a", "b", "all")] == [[1], [2], [1, 2]]


async def test_a_key_that_cannot_be_computed_stops_the_projection() -> None:
    def key(recorded: Recorded[AccountEvent]) -> str:
        raise KeyError("no key")

    async with Bus(ledger(balances(key=key, on_poison=PARK))) as bus:
        receipt = await bus.send(Deposit("a"))
        with pytest.raises(ProjectionStopped, match="no key"):
            await bus.wait_projected(receipt)
        assert await letters(bus) == []


async def test_what_no_store_can_hold_is_parked_alone() -> None:
    class Picky(ToldViewStore):
        """Cannot hold what has seen an even number of deposits, and says so only when it is written."""

        async def commit(self, table, changes):  # type: ignore[no-untyped-def]
            for view in changes.put:
                if table.projection == "balances" and b'"account":"a"' in view.payload and b"[2," in view.payload:
                    raise ValueError("too large")
            return await super().commit(table, changes)

    store, views = MemoryEventStore(), Picky()
    await record(store, Deposit("b"), Deposit("a"), Deposit("b"), Deposit("a"), Deposit("b"))
    async with Bus(ledger(balances(on_poison=PARK)), event_store=store, view_store=views) as bus:
        await bus.wait_settled()
        assert await letters(bus) == [("a", 4, True)]
        assert [await positions(bus, account) for account in "ab"] == [[2], [1, 3, 5]]


async def test_more_keys_than_allowed_stop_the_projection() -> None:
    limits = Limits(parked_keys_max=2)
    async with Bus(PARKING, limits=limits) as bus:
        await bus.send_many([Deposit("a", POISON), Deposit("b", POISON), Deposit("a", POISON)])
        await bus.wait_settled()
        await bus.send(Deposit("c", POISON))
        with pytest.raises(ProjectionStopped, match=r"more than 2 .* Limits\.parked_keys_max; .*a bug in project"):
            await bus.wait_settled()
        assert of(bus.statistics()).position == 3
        assert sorted([key for key, *_ in await letters(bus)]) == ["a", "a", "b"]


@pytest.mark.parametrize("fault", ["refuse", "before", "after", "late"])
async def test_letters_are_kept_once_whatever_becomes_of_their_commit(fault: Fault) -> None:
    for when in range(4):
        views = ToldViewStore()
        views.faulty = "balances"
        views.faults.extend([*["none"] * when, fault, fault])  # type: ignore[list-item]
        async with Bus(PARKING, view_store=views) as bus:
            for command in (Deposit("a"), Deposit("a", POISON), Deposit("b"), Deposit("a")):
                await bus.send(command)
            await bus.wait_settled()
            assert await letters(bus) == [("a", 2, True), ("a", 4, False)]
            assert [await positions(bus, account) for account in "ab"] == [[1], [3]]


def _touch(position: int, *keys: str) -> Touch:
    recorded = Recorded(
        event=NoteWritten(),
        stream="note-n",
        stream_id="n",
        version=position,
        position=position,
        recorded_at=NOON,
        command_id="c",
        correlation_id="c",
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    )
    return Touch(recorded, keys)


def test_a_key_waits_from_its_failure_on_and_is_kept_once_committed() -> None:
    parking = Parking(TABLE)
    parking.begin({})
    touches = [_touch(1, "a", "b"), _touch(2, "a"), _touch(3, "b")]
    assert parking.divert(touches, NOON) == (touches, ())
    parking.park(["a"], Failure(2, "a bug", 5, NOON, NOON))
    left, parked = parking.divert(touches, NOON)
    assert [(one.recorded.position, one.keys) for one in left] == [(1, ("a", "b")), (3, ("b",))]
    assert [(one.key, one.position, one.error) for one in parked] == [("a", 2, "a bug")]
    assert parked[0].trace_id == "0af7651916cd43dd8448eb211c80319c"
    # Not committed: the same again.
    assert parking.divert(touches, NOON) == (left, parked)
    parking.commit(parked, (), Checkpoint(3))
    left, later = parking.divert([_touch(4, "b", "a")], NOON)
    assert [(one.key, one.position, one.error, one.attempts) for one in later] == [("a", 4, None, 0)]
    assert [one.keys for one in left] == [("b",)]
    parking.commit(later, (), Checkpoint(4))
    assert parking.letters == {"a": 2}
    parking.commit((), (("a", 2), ("a", 4)), Checkpoint(4))
    assert (parking.letters, parking.keys) == ({}, 0)


def test_of_an_event_that_was_split_one_letter_is_made() -> None:
    parking = Parking(TABLE)
    parking.begin({"a": 1})
    left, parked = parking.divert([_touch(2, "a"), _touch(2, "a")], NOON)
    assert (left, [(one.key, one.position) for one in parked]) == ([], [("a", 2)])


@pytest.mark.parametrize(
    ("text", "kept"), [("a\0b", "a\\0b"), ("\ud800", "\\ud800"), ("é", "é"), ("x" * 9_999, "x" * 2_000)]
)
def test_errors_are_kept_in_a_form_that_any_store_can_hold(text: str, kept: str) -> None:
    assert storable(text) == kept
