"""Whatever is asked of one declared index is read off that index; no table of some size is read from end to end."""

import re
from collections.abc import Callable

import asyncpg
import pytest

from adapters.postgres import PostgresViewStore
from adapters.postgres.finding import statement
from adapters.postgres.view_tables import Table
from bus.core.finding import Among, Interval, Place, Step, Where, steps
from bus.core.stored import StoredView, ViewChanges, ViewTable
from tests.adapters.postgres.databases import schema_of
from tests.contracts.view_store import FIRST, START

NewUrl = Callable[[], str]
BOARD = ViewTable("board", 1, ("origin", "at", ("origin", "at")))
VIEWS = 20_000
EWR: Where = {"origin": "o7"}
SOON: Where = {"at": Interval(5_000, 5_100)}
PLACE = Place(5_000, "k05000")


def test_values_are_parameters_and_columns_are_called_by_their_place() -> None:
    table = Table(7, ("origin", 'x"; DROP TABLE y; --'))
    step = Step({'x"; DROP TABLE y; --': Among((None,)), "origin": Interval(1, "", high_inside=False)}, "origin", "k")
    query, values = statement(table, step, True, 9)
    assert query == (
        "SELECT key, payload FROM {schema}.views_7 WHERE by_2 = $1 AND by_1 >= $2 AND by_1 < $3 AND key > $4 "
        "ORDER BY by_1 DESC, key LIMIT $5"
    )
    assert (values[0], values[2:]) == (b"\0", [b"\2", "k", 9])


async def test_what_is_asked_of_one_index_is_read_off_it(new_url: NewUrl, server_url: str) -> None:
    url = new_url()
    async with PostgresViewStore(url) as store:
        await store.prepare([BOARD])
        put = tuple([StoredView(f"k{n:05}", b"x" * 100, (f"o{n % 100}", n // 2)) for n in range(VIEWS)])
        await store.commit(BOARD, ViewChanges(START, FIRST, put, ()))
        table = store._tables["board", 1, 0]
    connection = await asyncpg.connect(server_url)
    await connection.execute(f"ANALYZE {schema_of(url)}.views_{table.key}")

    async def plans(where: Where, order_by: str | None, descending: bool, after: Place | None) -> list[str]:
        found: list[str] = []
        for step in steps(where, order_by, descending, after):
            query, values = statement(table, step, descending, 10)
            rows = await connection.fetch(f"EXPLAIN {query.replace('{schema}', schema_of(url))}", *values)
            nodes = [re.sub(r" on .*|  \(.*", "", row[0]).strip(" ->") for row in rows]
            found.append(" / ".join([node for node in nodes if re.search("Scan|Sort$", node)]))
        return found

    index = f"Index Scan using views_{table.key}"
    by_origin, by_at, by_both = (f"{index}_{columns}_key_idx" for columns in ("by_1", "by_2", "by_1_by_2"))
    try:
        # The plan for these values, and the one for any values that a statement gets which is used more often.
        for mode in ("force_custom_plan", "force_generic_plan"):
            await connection.execute(f"SET plan_cache_mode = {mode}")
            for where, order_by, descending, after, wanted in (
                (EWR, "origin", False, None, [[by_origin]]),
                (EWR, None, False, Place(None, "k05000"), [[by_origin]]),
                ({}, "at", False, None, [[by_at]]),
                ({}, "at", True, None, [["Incremental Sort", f"{by_at}".replace("Scan", "Scan Backward")]]),
                (SOON, "at", False, None, [[by_at]]),
                ({}, "at", False, PLACE, [[by_at], [by_at]]),
                (SOON, "at", False, PLACE, [[by_at], [by_at]]),
                (
                    *({}, "at", True, PLACE),
                    [[by_at], ["Incremental Sort", by_at.replace("Scan", "Scan Backward")], [by_at]],
                ),
            ):
                found = await plans(where, order_by, descending, after)
                assert found == [" / ".join(step) for step in wanted], (mode, where, order_by, descending, after)
            assert await plans(EWR, "at", False, None) == [by_both]
            assert await plans(EWR, "at", False, PLACE) == [by_both, by_both]
            # By several values: whatever the planner likes, save reading everything.
            several = await plans({"origin": Among(("o7", "o8"))}, "at", False, None)
            assert not [plan for plan in several if "Seq Scan" in plan]
    finally:
        await connection.close()


@pytest.mark.parametrize("order_by", [None, "at"])
async def test_several_values_and_none_are_found_as_parameters(new_url: NewUrl, order_by: str | None) -> None:
    async with PostgresViewStore(new_url()) as store:
        await store.prepare([BOARD])
        put = tuple([StoredView(key, b"", (origin, 1)) for key, origin in (("a", None), ("b", "x"), ("c", "y"))])
        await store.commit(BOARD, ViewChanges(START, FIRST, put, ()))
        async with store.snapshot() as reader:
            found = await reader.find(BOARD, {"origin": Among((None, "y"))}, order_by, False, 9)
            assert [key for key, _ in found] == ["a", "c"]
