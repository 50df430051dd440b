"""Whatever is asked of one declared index is read off that index; no table is read from end to end."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from adapters.sqlite.finding import statement
from adapters.sqlite.view_schema import Table, table_of
from bus.core.finding import Among, Interval, Place, Where, steps
from bus.core.stored import ViewTable

BOARD = ViewTable("board", 1, ("origin", "at"))
BY_ORIGIN = "view_1_board_v1 USING INDEX view_1_board_v1_by_0_origin"
BY_AT = "view_1_board_v1 USING INDEX view_1_board_v1_by_1_at"
LAST_TERM = "USE TEMP B-TREE FOR LAST TERM OF ORDER BY"
"""Sorts equal values by key, one value after the other, and stops at the limit."""
SORT = "USE TEMP B-TREE FOR ORDER BY"

EWR: Where = {"origin": "EWR"}
SOON: Where = {"at": Interval("2013", "2014")}
PLACE = Place("2013", "k")


@pytest.fixture
def board() -> Iterator[tuple[sqlite3.Connection, Table]]:
    connection = sqlite3.connect(":memory:")
    table = table_of(1, BOARD)
    for created in table.create():
        connection.execute(created)
    yield connection, table
    connection.close()


@pytest.mark.parametrize(
    ("where", "order_by", "after", "plans"),
    [
        (EWR, None, None, [[f"SEARCH {BY_ORIGIN} (by_0_origin=?)"]]),
        (EWR, "origin", None, [[f"SEARCH {BY_ORIGIN} (by_0_origin=?)"]]),
        (EWR, None, Place(None, "k"), [[f"SEARCH {BY_ORIGIN} (by_0_origin=? AND key>?)"]]),
        ({}, "at", None, [[f"SCAN {BY_AT}"]]),
        ({}, "-at", None, [[f"SCAN {BY_AT}", LAST_TERM]]),
        (SOON, "at", None, [[f"SEARCH {BY_AT} (by_1_at>? AND by_1_at<?)"]]),
        (SOON, None, None, [[f"SEARCH {BY_AT} (by_1_at>? AND by_1_at<?)", SORT]]),
        ({"at": Interval()}, "at", None, [[f"SEARCH {BY_AT} (by_1_at>?)"]]),
        ({"origin": Among(("EWR", "JFK"))}, None, None, [[f"SEARCH {BY_ORIGIN} (by_0_origin=?)", SORT]]),
        ({}, "at", PLACE, [[f"SEARCH {BY_AT} (by_1_at=? AND key>?)"], [f"SEARCH {BY_AT} (by_1_at>?)"]]),
        (SOON, "at", PLACE, [[f"SEARCH {BY_AT} (by_1_at=? AND key>?)"], [f"SEARCH {BY_AT} (by_1_at>? AND by_1_at<?)"]]),
        (
            {},
            "-at",
            PLACE,
            [
                [f"SEARCH {BY_AT} (by_1_at=? AND key>?)"],
                [f"SEARCH {BY_AT} (by_1_at<?)", LAST_TERM],
                [f"SEARCH {BY_AT} (by_1_at=?)"],
            ],
        ),
        ({}, "at", Place(None, "k"), [[f"SEARCH {BY_AT} (by_1_at=? AND key>?)"], [f"SEARCH {BY_AT} (by_1_at>?)"]]),
        # By two indexes: what one of them finds is looked through, and sorted if need be.
        (EWR, "at", None, [[f"SEARCH {BY_ORIGIN} (by_0_origin=?)", SORT]]),
        ({**EWR, **SOON}, "at", None, [[f"SEARCH {BY_ORIGIN} (by_0_origin=?)", SORT]]),
        ({}, None, None, [["SCAN view_1_board_v1"]]),
    ],
)
def test_what_is_asked_of_one_index_is_read_off_it(
    board: tuple[sqlite3.Connection, Table],
    where: Where,
    order_by: str | None,
    after: Place | None,
    plans: list[list[str]],
) -> None:
    connection, table = board
    descending = order_by is not None and order_by.startswith("-")
    field = None if order_by is None else order_by.removeprefix("-")
    found: list[list[str]] = []
    for step in steps(where, field, descending, after):
        query, values = statement(table, step, descending)
        rows = connection.execute(f"EXPLAIN QUERY PLAN {query}", (*values, 10))
        # Releases of SQLite differ in the words.
        found.append([detail.replace("RIGHT PART", "LAST TERM") for *_, detail in rows])
    assert found == plans


@pytest.mark.parametrize(
    ("where", "order_by", "after", "plans"),
    [
        (EWR, "at", None, [["(by_0_origin=?)"]]),
        ({**EWR, **SOON}, "at", None, [["(by_0_origin=? AND by_1_at>? AND by_1_at<?)"]]),
        (EWR, "-at", None, [["(by_0_origin=?)", LAST_TERM]]),
        (EWR, "at", PLACE, [["(by_0_origin=? AND by_1_at=? AND key>?)"], ["(by_0_origin=? AND by_1_at>?)"]]),
    ],
)
def test_an_index_of_two_fields_gives_those_equal_in_one_in_the_order_of_the_other(
    where: Where, order_by: str, after: Place | None, plans: list[list[str]]
) -> None:
    table = table_of(1, ViewTable("board", 1, ("origin", "at", ("origin", "at"))))
    descending, field = order_by.startswith("-"), order_by.removeprefix("-")
    with closing(sqlite3.connect(":memory:")) as connection:
        for created in table.create():
            connection.execute(created)
        for step, (first, *others) in zip(steps(where, field, descending, after), plans, strict=True):
            query, values = statement(table, step, descending)
            rows = connection.execute(f"EXPLAIN QUERY PLAN {query}", (*values, 10)).fetchall()
            found = [detail.replace("RIGHT PART", "LAST TERM") for *_, detail in rows]
            assert found == [f"SEARCH view_1_board_v1 USING INDEX view_1_board_v1_by_2_origin_at {first}", *others]


def test_values_are_parameters_and_many_of_them_a_power_of_two(board: tuple[sqlite3.Connection, Table]) -> None:
    (step,) = steps({"origin": Among(("a", None, "b", "c"))}, None, False, None)
    query, values = statement(board[1], step, False)
    assert '("by_0_origin" IN (?,?,?,?) OR "by_0_origin" IS NULL)' in query
    assert values == ["a", "b", "c", "c"]
