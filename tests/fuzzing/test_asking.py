"""Whatever a query asks for: both stores give the same views in the same order, or the same clear error."""

import enum
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Final

import anyio
import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from adapters.sqlite import SqliteViewStore
from bus import STOP, Application, BusError, Limits, Projection, QueryError, Recorded, View, one_of
from bus.core.conditions import Bound, Range
from bus.core.letters import After
from bus.core.projection import index_value
from bus.core.stored import StoredView, ViewChanges, table_of, view_fault
from bus.memory import MemoryViewStore
from bus.ports import ViewStore
from bus.read.finding import Order
from bus.read.lineage import Source
from bus.read.queries import SnapshotViews
from tests.contracts.view_store import FIRST, START
from tests.support.ledger import ACCOUNT, Deposited


class Kind(enum.Enum):
    ONE = "one"
    TWO = "two"


class Row(View):
    """A view with a field of every sort that can be indexed."""

    name: str
    number: int | float | None = None
    moment: datetime | None = None
    day: date | None = None
    late: timedelta | None = None
    kind: Kind | None = None


INDEXES: Final = ("name", "number", "moment", "day", "late", "kind")


def project(view: Row | None, recorded: Recorded[Deposited], key: str) -> Row:
    return Row(key)


ROWS: Final = Projection(
    name="rows", version=1, view=Row, project=project, key=lambda recorded: "", indexes=INDEXES, on_poison=STOP
)
APPLICATION: Final = Application(deciders=[ACCOUNT], projections=[ROWS])
TABLE: Final = table_of(ROWS)

TEXTS: Final = st.text(max_size=6) | st.sampled_from(
    [
        "",
        "a",
        "A",
        "a ",
        "é",
        "e\u0301",
        "\uffff",
        "😀",
        "x'; DROP TABLE projections; --",
        "1",
        "%",
        "\0",
        "a\0b",
        "\ud800",
    ]
)
NUMBERS: Final = (
    st.integers(-5, 5)
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.sampled_from([2**63 - 1, 2**63, -(2**63), 2**53, 2**53 + 1, float(2**53), 1e308, 5e-324, -0.0])
)
ZONES: Final = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
MOMENTS: Final = st.datetimes(timezones=st.none() | ZONES) | st.sampled_from(
    [
        datetime.max.replace(tzinfo=timezone(timedelta(hours=-14))),
        datetime.min.replace(tzinfo=timezone(timedelta(hours=14))),
    ]
)
DAYS: Final = st.dates() | st.times() | st.timedeltas() | st.uuids()
KINDS: Final = st.sampled_from(Kind) | st.booleans() | TEXTS
OTHERS: Final = st.sampled_from([b"a", (), [1], {}, object, 1j, math.nan, timedelta.max])
VALUES: Final = st.none() | TEXTS | NUMBERS | MOMENTS | DAYS | KINDS | OTHERS
VIEWS: Final = st.lists(
    st.builds(
        Row,
        name=TEXTS,
        number=st.none() | NUMBERS,
        moment=st.none() | MOMENTS,
        day=st.none() | st.dates(),
        late=st.none() | st.timedeltas(),
        kind=st.none() | st.sampled_from(Kind),
    ),
    max_size=8,
)
ORDERS: Final = st.none() | st.sampled_from(
    [*INDEXES, *[f"-{name}" for name in INDEXES], "", "-", "key", "payload", "name, key"]
)
BOUNDS: Final = st.none() | st.builds(Bound, VALUES, st.booleans())
CONDITIONS: Final = (
    VALUES | st.builds(Range, BOUNDS, BOUNDS) | st.lists(VALUES, max_size=4).map(lambda some: one_of(*some))
)
CURSORS: Final = st.builds(
    lambda order_by, name, number: Order("rows", order_by, None).cursor(Row(name, number), name),
    st.sampled_from(["name", "-name", "number", "-number"]),
    st.sampled_from(["", "a", "é", "😀"]),
    st.none() | st.integers(-5, 5) | st.floats(),
)
QUESTIONS: Final = st.tuples(
    st.dictionaries(st.sampled_from([*INDEXES, "nothing", "key; --"]), CONDITIONS, max_size=2),
    ORDERS,
    st.none() | st.integers(-2, 2**65) | st.sampled_from([0, 1, 2, 2**63, 1.5, "1", True]),
    TEXTS | st.sampled_from([None, 1, b"a", ("a",), [1]]),
    st.none() | TEXTS | CURSORS,
)

Question = tuple[Mapping[str, Any], str | None, Any, Any, Any]
Answer = Sequence[str] | str


def storable(rows: Sequence[Row]) -> list[StoredView]:
    """The rows that a projection would be let keep, each under a key of its own; the payload is the key."""
    found: list[StoredView] = []
    for number, row in enumerate(rows):
        key = f"{(number * 5) % 8}"
        try:
            view = StoredView(key, msgspec.json.encode(Row(key)), ROWS.index_values(row))
        except TypeError:
            continue
        if view_fault(view) is None:
            found.append(view)
    return found


async def answers(store: ViewStore, rows: Sequence[StoredView], questions: Sequence[Question]) -> list[Answer]:
    """What a handler is given for each question: keys in order, or the error."""
    found: list[Answer] = []
    async with store:
        await store.prepare([TABLE])
        assert await store.commit(TABLE, ViewChanges(START, FIRST, tuple(rows), ()))
        async with store.snapshot() as reader:
            views = SnapshotViews(
                APPLICATION,
                reader,
                decoders={Row: msgspec.json.Decoder(Row).decode},
                sources={"rows": Source(ROWS, TABLE, FIRST.position, is_built=True)},
                after=After(0, 1),
                may_park=frozenset(),
                limits=Limits(),
            )
            for where, order_by, limit, key, after in questions:
                try:
                    rows_found = await views.find(Row, order_by=order_by, limit=limit, after=after, **where)
                    found.append([row.name for row in rows_found])
                except (BusError, TypeError) as error:
                    found.append(f"{type(error).__name__}: {error}")
                try:
                    got = await views.get(Row, key)
                    found.append("" if got is None else got.name)
                except QueryError as error:
                    found.append(str(error))
        assert dict(await store.prepare([TABLE])) == {TABLE: FIRST}
    return found


@given(VIEWS, st.lists(QUESTIONS, min_size=1, max_size=6))
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example([Row("a", 1), Row("b", 2.5)], [({"number": 2**70}, None, None, "a", None), ({}, "number", 1.5, 5, "x")])
def test_stores_agree_on_every_question(tmp_path: Path, rows: list[Row], questions: list[Question]) -> None:
    path = tmp_path / "views.db"
    for old in tmp_path.iterdir():
        old.unlink()
    kept = storable(rows)
    in_memory = anyio.run(answers, MemoryViewStore(), kept, questions)
    assert anyio.run(answers, SqliteViewStore(path, synchronous="OFF"), kept, questions) == in_memory
    assert all("Store" not in answer for answer in in_memory if isinstance(answer, str)), "an error of the store's own"


@pytest.mark.parametrize(
    "value",
    [
        *(2**63, -(2**63) - 1, timedelta.max, b"a", (), [1], {}, object(), 1j),
        datetime.max.replace(tzinfo=timezone(timedelta(hours=-14))),
    ],
)
def test_a_value_that_no_store_compares_is_a_clear_error(value: object) -> None:
    with pytest.raises(TypeError, match="cannot index"):
        index_value(value)


@given(VALUES)
def test_a_value_becomes_what_stores_compare_or_an_error_that_says_so(value: object) -> None:
    try:
        found = index_value(value)
    except TypeError as error:
        assert "cannot index" in str(error)
    else:
        assert found is None or type(found) in (str, int, float)
        assert not (isinstance(found, float) and math.isnan(found)), "it would not equal itself"


def test_moments_in_several_zones_are_one_value() -> None:
    moment = datetime(2013, 1, 1, 12, tzinfo=UTC)
    assert {index_value(moment.astimezone(timezone(timedelta(hours=hours)))) for hours in range(-12, 13)} == {
        "2013-01-01T12:00:00.000000"
    }
