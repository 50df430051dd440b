"""A user's statements in the transaction of a checkpoint: begun, run one by one, and committed or rolled back."""

import asyncio
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Protocol, TypeVar

from adapters.sqlite.errors import DATA_ERRORS, DRIVER_ERRORS, after_commit, primary_code, unavailable
from adapters.sqlite.log import Log
from adapters.sqlite.thread import finished
from adapters.sqlite.transaction import roll_back
from adapters.sqlite.turns import Turns
from bus.core.errors import StatementFailed, StoreUnavailable
from bus.core.transactions import Dialect, Work, transaction_word

T = TypeVar("T")

_STATEMENT_ERRORS = (*DRIVER_ERRORS, *DATA_ERRORS, sqlite3.Warning)
"""What the driver raises for a statement; the last where it is more than one, before Python 3.12."""

_OUTAGES = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_NOTADB,
    }
)
"""Result codes for which neither the statement nor its data is to blame."""

_ENDED = "a statement has ended the transaction, as `OR ROLLBACK` does: let it fail, and all is rolled back"


class Runs(Protocol):
    """What runs jobs, one by one: the thread."""

    async def run(self, job: Callable[[], T]) -> T:
        """The job's result."""
        ...


class SqliteTransaction:
    """See `bus.core.Transaction`. Each statement is one hop to the thread, and so are all rows of `execute_many`."""

    def __init__(self, thread: Runs, connection: sqlite3.Connection, url: str) -> None:
        self._thread = thread
        self._connection = connection
        self._url = url
        self._is_over = False
        self.failure: StatementFailed | StoreUnavailable | None = None
        """What the whole transaction has failed with."""

    @property
    def dialect(self) -> Dialect:
        return "sqlite"

    async def execute(self, sql: str, *parameters: Any) -> None:
        await self._run(sql, partial(_fetch, self._connection, self._url, sql, parameters))

    async def fetch(self, sql: str, *parameters: Any) -> Sequence[tuple[Any, ...]]:
        return await self._run(sql, partial(_fetch, self._connection, self._url, sql, parameters))

    async def execute_many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        await self._run(sql, partial(_execute_many, self._connection, self._url, sql, list(rows)))

    async def _run(self, sql: str, job: Callable[[], T]) -> T:
        if self._is_over:
            raise refused("the transaction is over: use it before the function that was given it returns", self._url)
        if self.failure is not None:
            raise refused(f"the transaction has failed already ({self.failure})", self._url)
        try:
            if (word := transaction_word(sql, self.dialect)) is not None:
                raise refused(
                    f"{word} is refused: the transaction also carries the checkpoint, and is committed when the "
                    "function that was given it returns, or rolled back when that raises",
                    self._url,
                )
            return await self._thread.run(job)
        except _STATEMENT_ERRORS as error:
            self.failure = failure_of(error, self._url)
            raise self.failure from error
        except StatementFailed as error:
            self.failure = error
            raise
        except BaseException:
            # Its caller was cancelled. It is run all the same, or was, and nobody knows with which result.
            self.failure = refused("a statement was given up before it had ended", self._url)
            raise

    def close(self) -> None:
        """Refuses whatever comes later, and ends a statement that nobody waits for any more."""
        self._is_over = True
        if self.failure is not None:
            self._connection.interrupt()


class Writing:
    """Transactions on the connection that also commits views, each of which has it to itself."""

    def __init__(self, turns: Turns[Any], connection: sqlite3.Connection, log: Log, url: str) -> None:
        self._turns = turns
        self._connection = connection
        self._log = log
        self._url = url

    async def run(self, begin: Callable[[], bool], work: Work) -> bool:
        """Does `begin` on the thread, in a new transaction, and unless that is false `work`; then commits.

        Returns what `begin` did, and raises as `SqlViewStore.write` does.
        """
        async with self._turns.alone() as thread:
            transaction = SqliteTransaction(thread, self._connection, self._url)
            try:
                is_begun = await thread.run(partial(_begin, self._connection, self._url, begin))
                if is_begun:
                    await _work(transaction, work)
                    await thread.run(partial(_commit, self._connection, self._log, self._url))
            except BaseException:
                # Also where who waited for one of these jobs has left, and the job is still to be run.
                await finished(asyncio.ensure_future(thread.run(partial(roll_back, self._connection))))
                raise
        return is_begun


async def _work(transaction: SqliteTransaction, work: Work) -> None:
    failure: Exception | None = None
    try:
        await work(transaction)
    except Exception as error:
        failure = error
    finally:
        transaction.close()
    if failure is None or isinstance(transaction.failure, StoreUnavailable):
        failure = transaction.failure
    if failure is not None:
        raise failure


def _begin(connection: sqlite3.Connection, url: str, begin: Callable[[], bool]) -> bool:
    try:
        connection.execute("BEGIN IMMEDIATE")
        is_begun = begin()
    except DRIVER_ERRORS as error:
        raise unavailable(error, url) from error
    if not is_begun:
        roll_back(connection)
    return is_begun


def _commit(connection: sqlite3.Connection, log: Log, url: str) -> None:
    _check(connection, url)
    try:
        connection.execute("COMMIT")
    except sqlite3.IntegrityError as error:
        # A constraint that is looked at only now.
        raise failure_of(error, url) from error
    except DRIVER_ERRORS as error:
        raise after_commit(error, url) from error
    log.check()


def _fetch(connection: sqlite3.Connection, url: str, sql: str, parameters: Sequence[Any]) -> Sequence[tuple[Any, ...]]:
    # To the end also where nobody wants the rows: a statement that is under way would keep the transaction open.
    rows: Sequence[tuple[Any, ...]] = connection.execute(sql, parameters).fetchall()
    _check(connection, url)
    return rows


def _execute_many(connection: sqlite3.Connection, url: str, sql: str, rows: Sequence[Sequence[Any]]) -> None:
    connection.executemany(sql, rows)
    _check(connection, url)


def _check(connection: sqlite3.Connection, url: str) -> None:
    if not connection.in_transaction:
        raise refused(_ENDED, url)


def refused(why: str, url: str) -> StatementFailed:
    """For what is not even tried."""
    return StatementFailed(f"{url}: {why}", store=url, condition="")


def failure_of(error: Exception, url: str) -> StatementFailed | StoreUnavailable:
    """The driver's error, by whether the statement or its data is to blame."""
    if primary_code(error) in _OUTAGES:
        return unavailable(error, url)
    error.__traceback__ = None
    condition: str = getattr(error, "sqlite_errorname", "")
    return StatementFailed(
        f"{url} refuses a statement ({error}). Nothing of its transaction is written; mend the statement, or what it "
        "is given",
        store=url,
        condition=condition,
    )
