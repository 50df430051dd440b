"""The tables of the view store: what was written by earlier releases opens, and queries use the indexes."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from adapters.sqlite import SqliteViewStore
from adapters.sqlite.view_schema import LAYOUT, Table, quoted, table_of
from bus.core.stored import Checkpoint, ViewTable
from tests.adapters.sqlite.files import raw, schema

GOLDEN = Path(__file__).parent / "golden" / "views-1.sql"
BOARD = ViewTable("board", 1, ("origin", "at"))


async def test_a_file_of_the_first_schema_still_opens(tmp_path: Path) -> None:
    with raw(tmp_path / "v.db") as connection:
        connection.executescript(GOLDEN.read_text())
    async with SqliteViewStore(tmp_path / "v.db") as store:
        assert dict(await store.prepare([BOARD])) == {BOARD: Checkpoint(7, "store", "a-1", 3)}
        assert dict(await store.load(BOARD, ["a", "b"])) == {"a": b'{"a":1}', "b": b"{}"}
        async with store.snapshot() as reader:
            assert list(await reader.find(BOARD, {"origin": "EWR"}, "at", False, 9)) == [("a", b'{"a":1}')]


async def test_the_first_schema_is_the_one_made_today(tmp_path: Path) -> None:
    with raw(tmp_path / "golden.db") as connection:
        connection.executescript(GOLDEN.read_text())
    async with SqliteViewStore(tmp_path / "new.db") as store:
        await store.prepare([BOARD])
    assert len(LAYOUT.migrations) == 1, "a later schema: compare with a golden file of its own"
    assert schema(tmp_path / "new.db") == schema(tmp_path / "golden.db")


def test_names_are_quoted() -> None:
    assert quoted('a"; DROP TABLE b') == '"a""; DROP TABLE b"'


@pytest.fixture
def board() -> Iterator[tuple[sqlite3.Connection, Table]]:
    connection = sqlite3.connect(":memory:")
    table = table_of(1, BOARD)
    for statement in table.create():
        connection.execute(statement)
    yield connection, table
    connection.close()


@pytest.mark.parametrize(
    ("where", "order_by", "plan"),
    [
        (("origin",), None, ["SEARCH view_1_board_v1 USING INDEX view_1_board_v1_by_0_origin (by_0_origin=?)"]),
        ((), "at", ["SCAN view_1_board_v1 USING INDEX view_1_board_v1_by_1_at"]),
        ((), None, ["SCAN view_1_board_v1"]),
    ],
)
def test_a_declared_index_spares_search_and_sort(
    board: tuple[sqlite3.Connection, Table], where: tuple[str, ...], order_by: str | None, plan: list[str]
) -> None:
    connection, table = board
    query = f"EXPLAIN QUERY PLAN {table.find(where, order_by, descending=False)}"
    values = (*["x" for _ in where], 10)
    assert [detail for *_, detail in connection.execute(query, values)] == plan
