"""Transactions end whole or not at all, and the first error is the one told."""

import sqlite3
from collections.abc import Iterator

import pytest

from adapters.sqlite.errors import CommitInDoubt
from adapters.sqlite.transaction import HUGE_ROWS, LARGE_ROWS, SMALL_ROWS, VALUES_MAX, ManyRows, transaction
from bus.core.errors import StoreUnavailable
from tests.adapters.sqlite.files import FailingConnection

URL = "sqlite:///x"


@pytest.fixture
def connection() -> Iterator[FailingConnection]:
    connection = sqlite3.connect(":memory:", isolation_level=None, factory=FailingConnection)
    connection.execute("CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT)")
    yield connection
    connection.close()


def _count(connection: sqlite3.Connection) -> int:
    count: int = connection.execute("SELECT count(*) FROM t").fetchone()[0]
    return count


def _insert_and_fail(connection: sqlite3.Connection) -> None:
    with transaction(connection, URL):
        connection.execute("INSERT INTO t VALUES (1, 'x')")
        raise KeyError


def test_what_ends_well_is_committed(connection: FailingConnection) -> None:
    with transaction(connection, URL):
        connection.execute("INSERT INTO t VALUES (1, 'x')")
    assert not connection.in_transaction
    assert _count(connection) == 1


def test_an_error_of_the_body_passes_and_rolls_back(connection: FailingConnection) -> None:
    with pytest.raises(KeyError):
        _insert_and_fail(connection)
    assert not connection.in_transaction
    assert _count(connection) == 0


def test_a_constraint_that_does_not_hold_passes_and_rolls_back(connection: FailingConnection) -> None:
    with pytest.raises(sqlite3.IntegrityError), transaction(connection, URL):
        connection.executemany("INSERT OR ROLLBACK INTO t VALUES (?, 'x')", [(1,), (1,)])
    assert not connection.in_transaction
    assert _count(connection) == 0


@pytest.mark.parametrize("statement", ["BEGIN", "INSERT", "COMMIT"])
def test_a_full_disk_at_any_statement_means_that_nothing_was_recorded(
    connection: FailingConnection, statement: str
) -> None:
    connection.fails, connection.code = statement, sqlite3.SQLITE_FULL
    with pytest.raises(StoreUnavailable, match=f"{statement} failed") as caught, transaction(connection, URL):
        connection.execute("INSERT INTO t VALUES (1, 'x')")
    assert isinstance(caught.value.__cause__, sqlite3.OperationalError)
    assert not connection.in_transaction
    assert _count(connection) == 0


def test_a_commit_that_failed_to_reach_the_disk_is_in_doubt(connection: FailingConnection) -> None:
    connection.fails, connection.code = "COMMIT", sqlite3.SQLITE_IOERR_FSYNC
    with pytest.raises(CommitInDoubt, match="COMMIT failed"), transaction(connection, URL):
        connection.execute("INSERT INTO t VALUES (1, 'x')")
    assert not connection.in_transaction


def test_the_first_error_survives_a_rollback_that_fails_too(connection: FailingConnection) -> None:
    connection.fails, connection.code = "ROLLBACK", sqlite3.SQLITE_IOERR
    with pytest.raises(KeyError):
        _insert_and_fail(connection)


@pytest.mark.parametrize(
    "rows", [0, 1, SMALL_ROWS - 1, SMALL_ROWS, SMALL_ROWS + 1, LARGE_ROWS, HUGE_ROWS + 2 * LARGE_ROWS + SMALL_ROWS + 3]
)
def test_many_rows_are_inserted_each_once(connection: FailingConnection, rows: int) -> None:
    values: list[object] = []
    for number in range(rows):
        values += (number, f"row {number}")
    ManyRows("INSERT INTO t", 2).run(connection, values)
    assert connection.execute("SELECT a, b FROM t ORDER BY a").fetchall() == [(n, f"row {n}") for n in range(rows)]


def test_many_rows_are_not_too_many_values_for_a_statement() -> None:
    # The least that SQLite is built with since 2020 is 32,766; the widest table here has 12 columns, views a few more.
    assert LARGE_ROWS * 100 < VALUES_MAX


def test_a_wide_table_takes_fewer_rows_at_a_time() -> None:
    connection = sqlite3.connect(":memory:")
    width = VALUES_MAX // HUGE_ROWS + 1
    connection.execute(f"CREATE TABLE t({', '.join([f'c{place}' for place in range(width)])})")
    ManyRows("INSERT INTO t", width).run(connection, list(range(width * HUGE_ROWS)))
    assert connection.execute("SELECT count(*), max(c0) FROM t").fetchone() == (HUGE_ROWS, width * (HUGE_ROWS - 1))
    connection.close()
