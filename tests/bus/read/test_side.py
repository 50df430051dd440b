"""The read side is opened on views that belong to the event store, and on no others."""

from datetime import UTC, datetime
from types import TracebackType

import pytest

from bus import Bus, MemoryEventStore, MemoryViewStore, ViewsMismatch
from bus.core.stored import Append, NewEvent
from tests.support.ledger import Balance, Deposit, GetBalance, GetJournal, balances, ledger, record, stored_entries

NOON = datetime(2013, 1, 1, 12, tzinfo=UTC)


async def filled(*commands: Deposit) -> tuple[MemoryEventStore, MemoryViewStore]:
    """An event store and the views that were made from it."""
    store, views = MemoryEventStore(), MemoryViewStore()
    async with Bus(ledger(balances()), event_store=store, view_store=views) as bus:
        for command in commands:
            await bus.send(command)
    return store, views


async def restored(store: MemoryEventStore, *, events: int) -> MemoryEventStore:
    """The store as a backup would bring it back: with its identity and its first events only."""
    backup = MemoryEventStore()
    async with store, backup:
        backup.identity = store.identity
        for event in await store.page(0, events):
            entry = Append(
                event.stream, event.version - 1, (NewEvent(event.name, event.payload),), event.command_id, b""
            )
            await backup.append([entry], event.recorded_at)
    return backup


async def refused(store: MemoryEventStore, views: MemoryViewStore) -> ViewsMismatch:
    with pytest.raises(ViewsMismatch, match=r"[Rr]ebuild") as caught:
        async with Bus(ledger(balances()), event_store=store, view_store=views):
            pass
    # Nothing was changed, and both stores can be used by who comes next.
    async with store, views:
        pass
    return caught.value


async def test_views_go_on_where_they_were_left() -> None:
    store, views = await filled(Deposit("a"), Deposit("b"))
    await record(store, Deposit("a"))
    async with Bus(ledger(balances()), event_store=store, view_store=views) as bus:
        await bus.wait_settled()
        a = await bus.query(GetBalance("a"))
        assert a is not None
        assert a.positions == [1, 3]
        assert {one.events for one in bus.statistics().projections} == {1}


async def test_views_of_another_event_store_are_refused_with_the_word_rebuild() -> None:
    _, views = await filled(Deposit("a"))
    other, _ = await filled(Deposit("a"))
    error = await refused(other, views)
    assert "another event store" in str(error)
    assert (error.projection, error.store) == ("balances", "memory:")


async def test_views_ahead_of_a_restored_event_store_are_refused_with_the_word_rebuild() -> None:
    store, views = await filled(Deposit("a"), Deposit("a"), Deposit("b"))
    error = await refused(await restored(store, events=2), views)
    assert "at position 3, but the event store ends at 2" in str(error)


async def test_a_store_that_is_refused_is_told_why_it_is_left() -> None:
    class Told(MemoryEventStore):
        error: BaseException | None = None

        async def __aexit__(
            self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
        ) -> None:
            self.error = error
            await super().__aexit__(kind, error, trace)

    _, views = await filled(Deposit("a"))
    store = Told()
    with pytest.raises(ViewsMismatch) as caught:
        await Bus(ledger(balances()), event_store=store, view_store=views).__aenter__()
    assert store.error is caught.value
    async with Bus(ledger(balances()), event_store=store):
        pass
    assert store.error is None


async def test_views_of_an_event_store_that_has_taken_another_way_since_are_refused() -> None:
    store, views = await filled(Deposit("a"), Deposit("b"), Deposit("a"))
    elsewhere = await restored(store, events=2)
    await record(elsewhere, Deposit("b"), Deposit("c"))
    error = await refused(elsewhere, views)
    assert "version 2 of 'account-b'" in str(error)
    assert "version 2 of 'account-a'" in str(error)


async def test_the_same_stream_at_another_version_is_enough_to_be_refused() -> None:
    store, views = await filled(Deposit("a"), Deposit("b"), Deposit("a"))
    elsewhere = await restored(store, events=1)
    await record(elsewhere, Deposit("a"), Deposit("a"))
    assert "is version 3 of 'account-a'" in str(await refused(elsewhere, views))


async def test_one_event_in_another_place_is_enough_to_be_refused() -> None:
    store, views = await filled(Deposit("a"), Deposit("b"))
    elsewhere = await restored(store, events=1)
    async with elsewhere:
        await elsewhere.append([Append("account-b2", 0, (NewEvent("deposited", b"{}"),), "c", b"")], NOON)
    assert "'account-b2'" in str(await refused(elsewhere, views))


async def test_a_store_that_is_only_longer_than_the_views_is_not_refused() -> None:
    store, views = await filled(Deposit("a"), Deposit("b"))
    longer = await restored(store, events=2)
    await record(longer, Deposit("c"))
    async with Bus(ledger(balances()), event_store=longer, view_store=views) as bus:
        await bus.wait_settled()
        journal = await bus.query(GetJournal())
        assert journal is not None
        assert journal.entries == await stored_entries(longer)


async def test_a_higher_version_is_built_anew_beside_the_old_views() -> None:
    store, views = await filled(Deposit("a", 5), Deposit("b"))

    def doubled(view: Balance | None, recorded, key: str):  # type: ignore[no-untyped-def]
        before = view or Balance(key, 0, [])
        return Balance(key, before.balance + 2 * recorded.event.amount, [*before.positions, recorded.position])

    second = balances(version=2)
    object.__setattr__(second, "project", doubled)
    async with Bus(ledger(second), event_store=store, view_store=views) as bus:
        await bus.wait_settled()
        assert await bus.query(GetBalance("a")) == Balance("a", 10, [1])
        assert {one.name: one.events for one in bus.statistics().projections} == {"balances": 2, "journal": 0}
    async with Bus(ledger(balances()), event_store=store, view_store=views) as bus:
        assert await bus.query(GetBalance("a")) == Balance("a", 5, [1])
        assert bus.statistics().projections[0].events == 0
