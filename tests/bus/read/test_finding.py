"""What a handler may ask of `Views`: by key, or by declared fields and in the order of one."""

import enum
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, time, timedelta, timezone
from typing import Literal
from uuid import UUID

import pytest

from bus import (
    REMOVED,
    STOP,
    Application,
    Bus,
    InvalidCursor,
    Limits,
    Projection,
    QueryError,
    QueryFailed,
    Recorded,
    Removed,
    UnknownQuery,
    View,
    ViewNotIndexed,
    above,
    at_least,
    at_most,
    below,
    between,
    one_of,
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


CONDITIONS = {one.__name__: one for one in (above, at_least, at_most, below, between, one_of)}


class Unprojected(View):
    text: str


@asynccontextmanager
async def _rows():  # type: ignore[no-untyped-def]
    """A bus on which the balances are a: 3, b: 1, c: 3, d: 2."""
    names = {"Balance": Balance, "Unprojected": Unprojected, **CONDITIONS}
    application, _ = asking(lambda query, views: eval(query.text, {"views": views, **names}))
    async with Bus(application, limits=Limits(find_views_max=4, find_values_max=4)) as bus:
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
        ("views.find(Balance, balance=at_least(2))", "acd"),
        ("views.find(Balance, balance=above(2))", "ac"),
        ("views.find(Balance, balance=at_most(2), order_by='-balance')", "db"),
        ("views.find(Balance, balance=below(2.5))", "bd"),
        ("views.find(Balance, balance=between(1, 2), order_by='balance')", "bd"),
        ("views.find(Balance, balance=between(2, 1))", ""),
        ("views.find(Balance, balance=at_least(1) & below(2))", "b"),
        ("views.find(Balance, account=above('a') & below('d'), balance=3)", "c"),
        ("views.find(Balance, account=at_least('b'), order_by='-balance', limit=2)", "cd"),
        ("views.find(Balance, account=one_of('d', 'a', 'x', None))", "ad"),
        ("views.find(Balance, account=one_of('a', 'a\\0', 7))", "a"),
        ("views.find(Balance, account=one_of())", ""),
        ("views.find(Balance, balance=one_of(1, 2), order_by='-account')", "db"),
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
        ("views.find(Balance, positions=one_of(1))", ViewNotIndexed, "declare indexes="),
        ("views.find(Balance, positions=above(1))", ViewNotIndexed, "declare indexes="),
        ("views.find(Balance, order_by=5)", QueryError, "order_by is the name of an indexed field, not 5"),
        ("views.find(Balance, balance=above(None))", QueryError, "None is in no range"),
        ("views.find(Balance, balance=above('1'))", QueryError, "Balance.balance has numbers, and so no range"),
        ("views.find(Balance, account=between('a', 5))", QueryError, "Balance.account has texts, and so no range"),
        ("views.find(Balance, account=above('\\0'))", QueryError, "NUL character"),
        ("views.find(Balance, account=above('\\ud800'))", QueryError, "lone surrogate"),
        ("views.find(Balance, balance=above(float('nan')))", QueryError, "NaN is in no order"),
        ("views.find(Balance, balance=above(2**64))", QueryFailed, "64 bits"),
        ("views.find(Balance, balance=above(views))", QueryFailed, "cannot index"),
        ("views.find(Balance, balance=above(1) & above(2))", QueryFailed, "one lower and one upper bound"),
        ("views.find(Balance, balance=one_of(1, 2, 3, 4, 5))", QueryError, "Limits.find_values_max, which is 4"),
        ("views.find(Balance, balance=one_of(views))", QueryFailed, "cannot index"),
        ("views.find(Balance, after='x')", InvalidCursor, "'x' is no cursor of this release"),
        ("views.find(Balance, after=5)", InvalidCursor, "5 is no cursor"),
        ("views.find_page(Balance, limit=0)", QueryError, "must not be below 1"),
        ("views.find_page(Balance, limit=None)", QueryError, "must be a whole number, not None"),
        ("views.find_page(Balance, limit=5, positions=[])", ViewNotIndexed, "declare indexes="),
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
        rows = views.kept._tables["balances", 1, 0].rows
        rows["a"] = type(rows["a"])("a", b"{}", rows["a"].index_values)
        with pytest.raises(QueryError, match="raise the projection's version"):
            await bus.query(GetBalance("a"))


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Sample(View):
    """A field of every sort that can be indexed."""

    number: int
    moment: datetime
    day: date
    lasts: timedelta
    id: UUID
    colour: Colour
    clock: time
    mixed: int | str
    rank: Literal["a", "b"] = "a"
    perhaps: datetime | None = None


INDEXES = ("number", "moment", "day", "lasts", "id", "colour", "clock", "mixed", "rank", "perhaps")


def project_sample(view: Sample | None, recorded: Recorded[Deposited], key: str) -> Sample:
    number = recorded.event.amount
    return Sample(
        number,
        NOON + timedelta(hours=number),
        NOON.date() + timedelta(days=number),
        timedelta(minutes=number),
        UUID(int=number),
        Colour.RED if number % 2 else Colour.BLUE,
        time(number),
        number if number % 2 else str(number),
        perhaps=NOON + timedelta(hours=number) if number % 2 else None,
    )


SAMPLES = Projection(
    name="samples",
    version=1,
    view=Sample,
    project=project_sample,
    key=lambda recorded: recorded.stream_id,
    indexes=INDEXES,
    on_poison=STOP,
)
EAST = timezone(timedelta(hours=5))


@asynccontextmanager
async def _samples():  # type: ignore[no-untyped-def]
    """A bus on which the samples are of the numbers 0 to 4."""
    names: dict[str, object] = {"Sample": Sample, "NOON": NOON, "EAST": EAST, "Colour": Colour, **CONDITIONS}
    names |= {one.__name__: one for one in (date, datetime, time, timedelta, UUID)}
    asked = Asked(lambda query, views: eval(query.text, {"views": views, **names}))
    async with Bus(Application(deciders=[ACCOUNT], projections=[SAMPLES], query_handlers=[asked.handle])) as bus:
        for number in range(5):
            receipt = await bus.send(Deposit(str(number), number))
        await bus.wait_projected(receipt)
        yield bus


@pytest.mark.parametrize(
    ("where", "numbers"),
    [
        ("moment=at_least(NOON + timedelta(hours=3))", [3, 4]),
        ("moment=above((NOON + timedelta(hours=3)).astimezone(EAST))", [4]),
        ("moment=below(NOON.replace(hour=14, tzinfo=None))", [0, 1]),
        ("day=between(date(2013, 1, 2), date(2013, 1, 3))", [1, 2]),
        ("lasts=at_least(timedelta(seconds=119)) & below(timedelta(minutes=4))", [2, 3]),
        ("id=above(UUID(int=2))", [3, 4]),
        ("clock=below(time(1, 0, 0, 1))", [0, 1]),
        ("colour=one_of(Colour.RED)", [1, 3]),
        ("mixed=above(-9)", [1, 3]),
        ("mixed=at_most(3)", [1, 3]),
        ("mixed=above('')", [0, 2, 4]),
        ("mixed=at_most('2')", [0, 2]),
        ("mixed=below('')", []),
        ("rank=at_most('a')", [0, 1, 2, 3, 4]),
        ("number=at_least(True) & below(2.5)", [1, 2]),
        ("number=below(float('inf')) & above(float('-inf'))", [0, 1, 2, 3, 4]),
        ("perhaps=at_most(NOON.replace(year=9000))", [1, 3]),
        ("perhaps=at_least(NOON.replace(year=1))", [1, 3]),
        ("perhaps=one_of(None, NOON + timedelta(hours=1))", [0, 1, 2, 4]),
    ],
)
async def test_a_range_holds_the_values_of_its_own_kind_in_their_own_order(where: str, numbers: list[int]) -> None:
    async with _samples() as bus:
        assert [one.number for one in await bus.query(Ask(f"views.find(Sample, {where})"))] == numbers


@pytest.mark.parametrize(
    ("where", "why"),
    [
        ("moment=above(date(2013, 1, 1))", "Sample.moment has datetimes, and so no range from or to"),
        ("moment=above('2013')", "Sample.moment has datetimes"),
        ("day=above(NOON)", "Sample.day has dates, and so no range"),
        ("lasts=above(5)", "Sample.lasts has timedeltas"),
        ("id=above('0')", "Sample.id has UUIDs"),
        ("colour=above(Colour.RED)", "which is in no order; use one_of"),
        ("colour=above('red')", "Sample.colour has Colours"),
        ("number=above(Colour.RED)", "which is in no order; use one_of"),
        ("clock=above(time(1, tzinfo=EAST))", "which is in no order"),
        ("mixed=between(1, 'a')", "two bounds of one kind"),
        ("mixed=above(NOON)", "Sample.mixed has numbers or texts"),
        ("perhaps=between(None, NOON)", "None is in no range; views without perhaps are found by perhaps=None"),
    ],
)
async def test_a_range_that_makes_no_sense_says_why(where: str, why: str) -> None:
    async with _samples() as bus:
        with pytest.raises(QueryError, match=why):
            await bus.query(Ask(f"views.find(Sample, {where})"))


class Side(View):
    name: str
    total: int


def project_side(view: Side | None, recorded: Recorded[Deposited], key: str) -> Side | Removed:
    total = (view.total if view else 0) + recorded.event.amount
    return REMOVED if recorded.event.amount == 0 else Side(key, total)


SIDES = Projection(
    name="sides",
    version=1,
    view=Side,
    project=project_side,
    key=lambda recorded: tuple(recorded.stream_id.split("+")) if recorded.stream_id != "nobody" else (),
    indexes=("total",),
    on_poison=STOP,
)


async def test_one_event_may_touch_several_views_each_of_which_is_found() -> None:
    asked = Asked(lambda query, views: views.find(Side, total=at_least(1), order_by="-total"))
    async with Bus(Application(deciders=[ACCOUNT], projections=[SIDES], query_handlers=[asked.handle])) as bus:
        for account, amount in {"a+b": 2, "b+c": 3, "nobody": 9, "d": 1, "d+c": 0}.items():
            receipt = await bus.send(Deposit(account, amount))
        found = await bus.query(Ask(), after=receipt)
        assert found == [Side("b", 5), Side("a", 2)]
