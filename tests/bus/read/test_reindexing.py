"""A bus whose projection declares other indexes keeps the views, and finds them by the new ones at once."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from bus import (
    Application,
    Bus,
    Limits,
    MemoryEventStore,
    MemoryViewStore,
    Projection,
    Unusable,
    View,
    ViewNotIndexed,
    ViewsMismatch,
    at_least,
)
from bus.core.messages import Recorded
from bus.core.projection import IndexValue
from bus.core.stored import ViewTable
from tests.support.asking import Ask, Asked
from tests.support.ledger import ACCOUNT, BALANCES, NOTE, Balance, Deposit, Deposited

LIMITS = Limits(reindex_views_max=2)


def application(projection: Projection[Any, Any]) -> Application:
    """Answers `find` by what the query's text says."""
    asked = Asked(
        lambda query, views: eval(query.text, {"views": views, "View": projection.view, "at_least": at_least})
    )
    return Application(deciders=[ACCOUNT, NOTE], projections=[projection], query_handlers=[asked.handle])


def indexed(*indexes: str) -> Projection[Any, Any]:
    fields = ("name", "version", "view", "project", "key", "on_poison")
    return Projection(**{name: getattr(BALANCES, name) for name in fields}, indexes=indexes)


async def test_other_indexes_find_the_views_that_are_there_and_those_that_come() -> None:
    events, views = MemoryEventStore(), MemoryViewStore()
    async with Bus(application(indexed("account")), event_store=events, view_store=views) as bus:
        await bus.send_many([Deposit(f"a{number}", number) for number in range(7)])
    async with Bus(application(indexed("balance")), event_store=events, view_store=views, limits=LIMITS) as bus:
        found = await bus.query(Ask("views.find(View, balance=at_least(4), order_by='-balance')"))
        assert [one.account for one in found] == ["a6", "a5", "a4"]
        with pytest.raises(ViewNotIndexed, match="declare indexes="):
            await bus.query(Ask("views.find(View, account='a1')"))
        receipt = await bus.send(Deposit("a0", 9))
        found = await bus.query(Ask("views.find(View, balance=at_least(6), order_by='-balance')"), after=receipt)
        assert [one.account for one in found] == ["a0", "a6"]
        # Each event came once: nothing was built anew.
        assert [one.positions for one in found] == [[1, 8], [7]]
        assert bus.statistics().projections[0].events == 1


class Told(MemoryViewStore):
    """Notes what it is asked to do."""

    def __init__(self) -> None:
        super().__init__()
        self.pages: list[int] = []

    async def reindex(
        self, table: ViewTable, values_of: Callable[[bytes], tuple[IndexValue, ...]], views_max: int
    ) -> None:
        self.pages.append(views_max)
        await super().reindex(table, values_of, views_max)


async def test_views_are_taken_in_pages_of_the_size_that_the_limits_say() -> None:
    views = Told()
    async with Bus(application(BALANCES), view_store=views, limits=LIMITS):
        pass
    assert views.pages == [2]


async def test_views_that_are_refused_are_not_indexed_anew() -> None:
    events, views = MemoryEventStore(), Told()
    async with Bus(application(indexed("account")), event_store=events, view_store=views) as bus:
        await bus.send(Deposit("a"))
    views.pages.clear()
    with pytest.raises(ViewsMismatch):
        async with Bus(application(indexed("balance")), event_store=MemoryEventStore(), view_store=views):
            pass
    assert views.pages == []
    async with Bus(application(indexed("account")), event_store=events, view_store=views) as bus:
        assert len(await bus.query(Ask("views.find(View, account='a')"))) == 1


class Richer(View):
    account: str
    balance: int
    currency: str


def project_richer(view: Richer | None, recorded: Recorded[Deposited], key: str) -> Richer:
    return Richer(key, recorded.event.amount, "EUR")


class Poorer(View):
    account: str
    balance: int
    currency: str = "EUR"


def project_poorer(view: Poorer | None, recorded: Recorded[Deposited], key: str) -> Poorer:
    return Poorer(key, recorded.event.amount)


def reshaped(view: type[View], project: Callable[..., Any]) -> Projection[Any, Any]:
    return Projection(
        name="balances",
        version=1,
        view=view,
        project=project,
        key=BALANCES.key,
        indexes=("currency",),
        on_poison=BALANCES.on_poison,
    )


async def test_a_view_of_another_shape_refuses_the_bus_with_the_word_version_and_stays_as_it_was() -> None:
    events, views = MemoryEventStore(), MemoryViewStore()
    async with Bus(application(BALANCES), event_store=events, view_store=views) as bus:
        await bus.send(Deposit("a", 3))
    with pytest.raises(Unusable, match=r"Richer|currency.*raise the projection's version"):
        async with Bus(application(reshaped(Richer, project_richer)), event_store=events, view_store=views):
            pass
    async with Bus(application(BALANCES), event_store=events, view_store=views) as bus:
        assert await bus.query(Ask("views.find(View, balance=3)")) == [Balance("a", 3, [1])]


async def test_a_field_that_has_a_default_may_be_added_and_indexed_at_once() -> None:
    events, views = MemoryEventStore(), MemoryViewStore()
    async with Bus(application(BALANCES), event_store=events, view_store=views) as bus:
        await bus.send(Deposit("a", 3))
    async with Bus(application(reshaped(Poorer, project_poorer)), event_store=events, view_store=views) as bus:
        assert await bus.query(Ask("views.find(View, currency='EUR')")) == [Poorer("a", 3)]


async def test_a_value_that_cannot_be_indexed_refuses_the_bus() -> None:
    events, views = MemoryEventStore(), MemoryViewStore()
    async with Bus(application(indexed("account")), event_store=events, view_store=views) as bus:
        await bus.send(Deposit("a", 3))
    rows = views._tables["balances", 1, 0].rows
    payload = msgspec.json.encode(Balance("a", 2**63 - 1, [1])).replace(b"9223372036854775807", b"9223372036854775808")
    rows["a"] = msgspec.structs.replace(rows["a"], payload=payload)
    with pytest.raises(Unusable, match="64 bits"):
        async with Bus(application(indexed("balance")), event_store=events, view_store=views):
            pass
