"""How builds stand is seen from the stores alone, and completed by what whoever projects them has told."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from adapters.cli.builds import Looking, Row, is_building, is_stopped, title_of
from adapters.cli.failures import Refused
from adapters.sqlite import SqliteEventStore, SqliteViewStore
from bus.core.builds import Standing
from bus.core.stored import Append, Checkpoint, NewEvent, ViewChanges, ViewTable
from tests.adapters.cli.ledgers import NOON, row, standing

TABLE = ViewTable("balances", 1)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def events(tmp_path: Path) -> SqliteEventStore:
    return SqliteEventStore(tmp_path / "events.db")


@pytest.fixture
def views(tmp_path: Path) -> SqliteViewStore:
    return SqliteViewStore(tmp_path / "views.db")


async def record(events: SqliteEventStore, count: int, ago_s: float = 0.0) -> None:
    version = await events.head()
    happened = tuple([NewEvent("happened", b"{}")] * count)
    entry = Append("a-1", version, happened, f"c{version}", b"")
    await events.append([entry], datetime.now(UTC) - timedelta(seconds=ago_s))


async def reach(views: SqliteViewStore, events: SqliteEventStore, position: int, table: ViewTable = TABLE) -> None:
    held = {one.table: one.checkpoint for one in await views.builds()}
    reached = Checkpoint(position, events.identity, "a-1", position)
    assert await views.commit(table, ViewChanges(held[table], reached, (), ()))


async def look(views: SqliteViewStore, events: SqliteEventStore | None) -> Row:
    (found,) = await Looking(views, events).look()
    return found


async def test_what_is_missing_is_counted_and_as_old_as_the_oldest_of_it(
    events: SqliteEventStore, views: SqliteViewStore
) -> None:
    async with events, views:
        await record(events, 3, ago_s=100)
        await record(events, 1, ago_s=50)
        await views.prepare([TABLE])
        await reach(views, events, 3)
        found = await look(views, events)
        assert (found.position, found.head, found.lag_events, found.progress_percent) == (3, 4, 1, 75.0)
        assert found.lag_s == pytest.approx(50, abs=5)
        assert (found.owner, found.events_per_s, found.left_s, found.retries) == (None, None, None, None)
        await reach(views, events, 4)
        found = await look(views, events)
        assert (found.lag_events, found.lag_s, found.left_s, found.progress_percent) == (0, 0.0, 0.0, 100.0)


async def test_without_the_event_store_nobody_knows_what_is_missing(views: SqliteViewStore) -> None:
    async with views:
        await views.prepare([TABLE])
        found = await look(views, None)
        assert (found.head, found.lag_events, found.lag_s, found.progress_percent) == (None, None, None, None)


async def test_what_was_told_completes_it(events: SqliteEventStore, views: SqliteViewStore) -> None:
    async with events, views:
        await record(events, 100)
        await views.prepare([TABLE])
        await views.tell(TABLE, standing(retries=4, attempts=2, last_error="a bug", drops_at=NOON))
        found = await look(views, events)
        assert (found.events_per_s, found.left_s, found.batch_events) == (50.0, 2.0, 12.0)
        assert (found.retries, found.attempts, found.last_error, found.owner) == (4, 2, "a bug", "host/1/abc")
        # It answers, and is not about to be dropped.
        assert found.drops_at is None


@pytest.mark.parametrize(("ago_s", "rate"), [(20, 50.0), (40, None)])
async def test_a_rate_that_was_told_long_ago_is_of_a_process_that_is_gone(
    views: SqliteViewStore, ago_s: float, rate: float | None
) -> None:
    async with views:
        await views.prepare([TABLE])
        await views.tell(TABLE, standing(told_at=datetime.now(UTC) - timedelta(seconds=ago_s)))
        found = await look(views, None)
        assert (found.events_per_s, found.batch_events is None) == (rate, rate is None)
        await views.tell(TABLE, standing(told_at=NOON, events_per_s=0.0))
        assert (await look(views, None)).events_per_s == 0.0


async def test_between_two_looks_the_rate_is_what_was_seen(
    events: SqliteEventStore, views: SqliteViewStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr("adapters.cli.builds.time.monotonic", lambda: now[0])
    async with events, views:
        await record(events, 90)
        await views.prepare([TABLE])
        await views.tell(TABLE, standing(events_per_s=7.0))
        looking, rates = Looking(views, events), list[tuple[float | None, float | None]]()
        for seconds, position in ((0.0, 10), (0.1, 20), (1.9, 50), (40.0, 50)):
            now[0] += seconds
            await reach(views, events, position)
            (found,) = await looking.look("balances")
            rates.append((found.events_per_s, found.left_s))
        assert rates == [(7.0, 11.4), (7.0, 10.0), (20.0, 2.0), (0.0, None)]


async def test_views_of_another_event_store_are_refused(
    events: SqliteEventStore, views: SqliteViewStore, tmp_path: Path
) -> None:
    async with events, views, SqliteEventStore(tmp_path / "others.db") as others:
        await record(events, 1)
        await views.prepare([TABLE])
        await reach(views, events, 1)
        with pytest.raises(Refused, match=r"were made from another event store than .*others\.db"):
            await look(views, others)


async def test_of_several_that_say_they_answer_the_latest_version_does(views: SqliteViewStore) -> None:
    second, third = ViewTable("balances", 2), ViewTable("balances", 3)
    async with views:
        await views.prepare([TABLE, second])
        await views.build(third, NOON)
        found = await Looking(views, None).look()
        assert [one.state for one in found] == ["leftover", "answering", "building"]
        assert [is_building(one) for one in found] == [False, False, True]
        assert await Looking(views, None).look("none") == []


def test_only_what_answers_or_is_to_do_so_has_stopped_to_anybody_s_harm() -> None:
    stopped = row(stopped="a bug")
    harm = {
        state: is_stopped(msgspec.structs.replace(stopped, state=state))
        for state in ("answering", "building", "replaced", "leftover")
    }
    assert harm == {"answering": True, "building": True, "replaced": False, "leftover": False}
    assert not is_stopped(row())


def test_a_build_is_named_by_its_version_and_its_number_where_it_has_one() -> None:
    assert [title_of(row()), title_of(row(version=2, build=1))] == ["v1", "v2.1"]


def test_what_is_told_has_all_its_fields_in_a_row() -> None:
    assert set(Standing.__struct_fields__) <= set(Row.__struct_fields__)
