"""What a handler may ask of `Views`: by key, or by declared fields and in the order of one."""

from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from bus import (
    STOP,
    Application,
    Bus,
    Limits,
    Projection,
    QueryError,
    QueryFailed,
    Recorded,
    UnknownQuery,
    View,
    ViewNotIndexed,
)
from tests.support.asking import Ask, Asked, asking
from tests.support.ledger import (
    ACCOUNT,
    LEDGER,
    NOTE,
    Balance,
    Deposit,
    Deposited,
    GetBalance,
)
from tests.support.views import ToldViewStore

NOON = datetime(2013, 1, 1, 12, tzinfo=UTC)


class Unprojected(View):
    text: str


@asynccontextmanager
async def _rows():  # type: ignore[no-untyped-def]
    """A bus on which the balances are a: 3, b: 1, c: 3, d: 2."""
    application, _ = asking(
        lambda query, views: eval(query.text, {"views": views, "Balance": Balance, "Unprojected": Unprojected})
    )
    async with Bus(application, limits=Limits(find_views_max=4)) as bus:
        for account, amount in {"c": 3, "a": 3, "d": 2, "b": 1}.items():
            receipt = await bus.send(Deposit(account, amount))
        await bus.wait_projected(receipt)
        yield bus


@pytest.mark.parametrize(
    ("call", "keys"),
    [
        ("views.find(Balance)", "abcd"),
        ("views.find(Balance, order_by='balance')", "bdac"),
        ("views.find(Balance, order_by='-balance')", "acdb"),
        ("views.find(Balance, order_by='-account', limit=2)", "dc"),
        ("views.find(Balance, balance=3)", "ac"),
        ("views.find(Balance, balance=3, order_by='-account')", "ca"),
        ("views.find(Balance, balance=3, account='c')", "c"),
        ("views.find(Balance, balance=3.0)", "ac"),
        ("views.find(Balance, account='A')", ""),
        ("views.find(Balance, account=None)", ""),
        ("views.find(Balance, account='a\\0')", ""),
        ("views.find(Balance, limit=0)", ""),
        ("views.find(Balance, limit=99)", "abcd"),
    ],
)
async def test_views_are_found_by_declared_fields_in_the_order_asked_for(call: str, keys: str) -> None:
    async with _rows() as bus:
        assert "".join(one.account for one in await bus.query(Ask(call))) == keys


@pytest.mark.parametrize("key", ["none", "", "a\0", "\ud800", "A", "x" * 500])
async def test_a_key_without_a_view_gets_none(key: str) -> None:
    async with _rows() as bus:
        assert await bus.query(Ask(f"views.get(Balance, {key!r})")) is None


@pytest.mark.parametrize(
    ("call", "kind", "why"),
    [
        ("views.find(Balance, positions=[])", ViewNotIndexed, r"indexes=\('balance', 'account', 'positions'\)"),
        ("views.find(Balance, order_by='-positions')", ViewNotIndexed, "declare indexes="),
        ("views.find(Balance, colour='red')", ViewNotIndexed, "has no field 'colour'"),
        ("views.find(Balance, order_by='')", ViewNotIndexed, "has no field ''"),
        ("views.find(Balance, order_by='--balance')", ViewNotIndexed, "has no field '-balance'"),
        ("views.find(Balance, limit=-1)", QueryError, "must not be negative"),
        ("views.find(Balance, limit=1.5)", QueryError, "must be a whole number, not 1.5"),
        ("views.get(Balance, 5)", QueryError, "a key is a text, not 5"),
        ("views.get(Balance, ['a'])", QueryError, "a key is a text"),
        ("views.find(Unprojected)", UnknownQuery, "no projection keeps the view 'Unprojected'"),
        ("views.get(Unprojected, 'a')", UnknownQuery, "no projection keeps"),
        ("views.get('Balance', 'a')", UnknownQuery, "no projection keeps"),
        ("views.find(Balance, balance=2**64)", QueryFailed, "64 bits"),
        ("views.find(Balance, account=views)", QueryFailed, "cannot index"),
    ],
)
async def test_what_cannot_be_asked_says_why(call: str, kind: type[QueryError], why: str) -> None:
    async with _rows() as bus:
        with pytest.raises(kind, match=why) as caught:
            await bus.query(Ask(call))
        assert type(caught.value) is kind


async def test_more_views_than_a_find_without_limit_may_return_are_refused_and_never_cut_off() -> None:
    async with _rows() as bus:
        assert len(await bus.query(Ask("views.find(Balance)"))) == 4
        await bus.wait_projected(await bus.send(Deposit("e", 3)))
        with pytest.raises(QueryError, match="find_views_max"):
            await bus.query(Ask("views.find(Balance)"))
        for limit in (5, 2**63, 2**100):
            assert len(await bus.query(Ask(f"views.find(Balance, limit={limit})"))) == 5
        assert len(await bus.query(Ask("views.find(Balance, balance=3)"))) == 3


class Seat(View):
    passenger: str | None
    since: datetime | None = None


def project_seat(view: Seat | None, recorded: Recorded[Deposited], key: str) -> Seat:
    amount = recorded.event.amount
    return Seat(f"p{amount}" if amount else None, NOON + timedelta(hours=amount) if amount else None)


SEATS = Projection(
    name="seats",
    version=1,
    view=Seat,
    project=project_seat,
    key=lambda recorded: recorded.stream_id,
    indexes=("passenger", "since"),
    on_poison=STOP,
)


async def test_none_comes_first_and_last_when_descending_and_can_be_asked_for() -> None:
    asked = Asked(
        lambda query, views: eval(query.text, {"views": views, "Seat": Seat, "since": NOON + timedelta(hours=1)})
    )
    application = Application(deciders=[ACCOUNT, NOTE], projections=[SEATS], query_handlers=[asked.handle])
    async with Bus(application) as bus:
        for seat, amount in {"1A": 2, "1B": 0, "1C": 1}.items():
            receipt = await bus.send(Deposit(seat, amount))
        await bus.wait_projected(receipt)
        for field in ("passenger", "since"):
            found = await bus.query(Ask(f"views.find(Seat, order_by={field!r})"))
            assert [one.passenger for one in found] == [None, "p1", "p2"]
            found = await bus.query(Ask(f"views.find(Seat, order_by='-{field}')"))
            assert [one.passenger for one in found] == ["p2", "p1", None]
            assert await bus.query(Ask(f"views.find(Seat, {field}=None)")) == [Seat(None)]
        found = await bus.query(Ask("views.find(Seat, since=since.astimezone())"))
        assert [one.passenger for one in found] == ["p1"]


async def test_a_stored_view_of_an_old_shape_is_a_query_error_with_the_word_version() -> None:
    views = ToldViewStore()
    async with Bus(LEDGER, view_store=views) as bus:
        await bus.wait_projected(await bus.send(Deposit("a")))
        rows = views.kept._tables["balances", 1].rows
        rows["a"] = type(rows["a"])("a", b"{}", rows["a"].index_values)
        with pytest.raises(QueryError, match="raise the projection's version"):
            await bus.query(GetBalance("a"))
