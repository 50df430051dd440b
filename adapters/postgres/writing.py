"""A user's statements in the transaction of a checkpoint: begun, run one by one, and committed or rolled back."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Final, TypeVar

import asyncpg

from adapters.postgres.connections import Connection, Connections
from adapters.postgres.errors import DRIVER_ERRORS, InDoubt, has_ended, sqlstate, told, unavailable
from adapters.postgres.urls import Target
from adapters.postgres.view_tables import checkpoint_columns
from bus.core.errors import StatementFailed, StoreUnavailable
from bus.core.stored import ViewChanges, ViewTable, dropped
from bus.core.transactions import Dialect, Work, transaction_word

T = TypeVar("T")
Step = Callable[[Connection], Awaitable[bool]]
"""A part of a transaction that is the store's own."""

_OUTAGES = ("08", "25006", "25P03", "25P04", "40", "53", "55", "57", "58", "F0", "XX")
"""SQLSTATEs for which neither the statement nor its data is to blame, but the server, a lock or another transaction."""

_CANCELLED = "57014"
"""By `statement_timeout` or by hand: that is about the statement."""

_BEGIN = """
BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;
SET LOCAL idle_in_transaction_session_timeout = {idle_ms};
SELECT set_config('search_path', concat_ws(', ', '{schema}', nullif(current_setting('search_path'), '')), true);
"""
"""A process that is paused or cut off in the middle keeps its locks for no longer than that, and its tables are made
beside those of the store, unless they are named with a schema."""

_CONDITION = "p.epoch = $2 AND p.position = $3 AND p.store_id = $4 AND p.stream = $5 AND p.stream_version = $6"
_LOOK = f"SELECT {_CONDITION} FROM {{schema}}.projections p WHERE p.projection_key = $1"
"""Locks nothing: the lease of this table and of others is renewed while a user's statements run."""
_MOVE = f"""
UPDATE {{schema}}.projections p SET position = $7, store_id = $8, stream = $9, stream_version = $10
WHERE p.projection_key = $1 AND {_CONDITION} RETURNING true
"""
"""At the end, and so whoever was paused and has lost the lease meanwhile commits nothing."""


class PostgresTransaction:
    """See `bus.core.Transaction`. Statements come one after the other, whoever sends them at once."""

    dialect: Final[Dialect] = "postgresql"

    def __init__(self, connection: Connection, url: str, timeout_s: float) -> None:
        self._connection = connection
        self._url = url
        self._timeout_s = timeout_s
        self._turn = asyncio.Lock()
        self._is_over = False
        self.failure: StatementFailed | StoreUnavailable | None = None
        """What the whole transaction has failed with."""

    async def execute(self, sql: str, *parameters: Any) -> None:
        # By the extended protocol, which takes one statement at a time, and so shows how it begins.
        await self._run(sql, lambda: self._connection.fetch(sql, *parameters))

    async def fetch(self, sql: str, *parameters: Any) -> Sequence[tuple[Any, ...]]:
        rows = await self._run(sql, lambda: self._connection.fetch(sql, *parameters))
        return [tuple(row) for row in rows]

    async def execute_many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        given = list(rows)
        await self._run(sql, lambda: self._connection.executemany(sql, given))

    async def _run(self, sql: str, call: Callable[[], Awaitable[T]]) -> T:
        async with self._turn:
            if self._is_over:
                why = "the transaction is over: use it before the function that was given it returns"
                raise refused(why, self._url)
            if self.failure is not None:
                raise refused(f"the transaction has failed already ({self.failure})", self._url)
            if (word := transaction_word(sql, self.dialect)) is not None:
                self.failure = refused(
                    f"{word} is refused: the transaction also carries the checkpoint, and is committed when the "
                    "function that was given it returns, or rolled back when that raises",
                    self._url,
                )
                raise self.failure
            try:
                async with asyncio.timeout(self._timeout_s):
                    return await call()
            except DRIVER_ERRORS as error:
                is_lost = self._connection.is_closed()
                self.failure = unavailable(error, self._url) if is_lost else failure_of(error, self._url)
                raise self.failure from error
            except BaseException:
                # Its caller was cancelled. The server has ended it too, or will, and nothing comes after it.
                self.failure = refused("a statement was given up before it had ended", self._url)
                raise

    async def close(self) -> None:
        """Refuses whatever comes later; waits for what was sent before."""
        async with self._turn:
            self._is_over = True


class Writing:
    """Transactions on connections of their own, so that what takes long keeps no lease from being renewed."""

    def __init__(self, connections: Connections, target: Target, timeout_s: float) -> None:
        self._connections = connections
        self._target = target
        self._timeout_s = timeout_s

    async def write(self, table: ViewTable, key: int, changes: ViewChanges, work: Work, idle_s: float) -> bool:
        """See `SqlViewStore.write`; `key` is the table's."""
        before = (key, changes.epoch, *checkpoint_columns(changes.expected))

        async def look(connection: Connection) -> bool:
            found: bool | None = await connection.fetchval(self._sql(_LOOK), *before)
            if found is None:
                raise dropped(table, self._target.url)
            return found

        async def move(connection: Connection) -> bool:
            moved = await connection.fetchval(self._sql(_MOVE), *before, *checkpoint_columns(changes.checkpoint))
            return moved is not None

        return await self.run(look, work, move, idle_s)

    async def run(self, begin: Step, work: Work, end: Step, idle_s: float) -> bool:
        """Does `begin` in a new transaction, `work` and `end`, up to the first that is false, and commits.

        Returns whether it has committed, and raises as `SqlViewStore.write` does.
        """
        failure: Exception | None = None
        is_done = False
        async with self._connections.lease() as connection:
            try:
                is_done = await self._try(connection, begin, work, end, idle_s)
            except Exception as error:
                # The connection is as good as before, once the transaction is rolled back.
                failure = error
            if not is_done:
                await self._roll_back(connection)
        if failure is not None:
            raise failure
        return is_done

    async def _try(self, connection: Connection, begin: Step, work: Work, end: Step, idle_s: float) -> bool:
        schema = self._target.quoted_schema.replace("'", "''")
        opening = _BEGIN.format(idle_ms=max(1, round(idle_s * 1_000)), schema=schema)
        await self._answered(connection.execute(opening))
        if not await self._answered(begin(connection)):
            return False
        await _work(PostgresTransaction(connection, self._target.url, self._timeout_s), work)
        if not await self._answered(end(connection)):
            return False
        await self._commit(connection)
        return True

    async def _commit(self, connection: Connection) -> None:
        try:
            async with asyncio.timeout(self._timeout_s):
                status = await connection.execute("COMMIT")
        except DRIVER_ERRORS as error:
            if has_ended(error):
                # Such as a constraint that is looked at only now.
                raise failure_of(error, self._target.url) from error
            raise InDoubt(
                f"{self._target.url}: it is not certain whether a batch was committed ({told(error)})"
            ) from error
        assert status == "COMMIT", "no statement had failed"

    async def _answered(self, step: Awaitable[T]) -> T:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await step
        except DRIVER_ERRORS as error:
            raise unavailable(error, self._target.url) from error

    def _sql(self, query: str) -> str:
        return query.replace("{schema}", self._target.quoted_schema)

    async def _roll_back(self, connection: Connection) -> None:
        if connection.is_closed() or not connection.is_in_transaction():
            return
        try:
            async with asyncio.timeout(self._timeout_s):
                await connection.execute("ROLLBACK")
        except DRIVER_ERRORS:
            connection.terminate()


async def _work(transaction: PostgresTransaction, work: Work) -> None:
    failure: Exception | None = None
    try:
        await work(transaction)
    except Exception as error:
        failure = error
    finally:
        await transaction.close()
    if failure is None or isinstance(transaction.failure, StoreUnavailable):
        failure = transaction.failure
    if failure is not None:
        raise failure


def refused(why: str, url: str) -> StatementFailed:
    """For what is not even tried."""
    return StatementFailed(f"{url}: {why}", store=url, condition="")


def failure_of(error: BaseException, url: str) -> StatementFailed | StoreUnavailable:
    """The driver's error, by whether the statement or its data is to blame."""
    code = sqlstate(error)
    is_outage = code.startswith(_OUTAGES) and code != _CANCELLED
    if is_outage or not isinstance(error, (asyncpg.PostgresError, asyncpg.InterfaceError)):
        return unavailable(error, url)
    return StatementFailed(
        f"{url} refuses a statement ({told(error)}). Nothing of its transaction is written; mend the statement, or "
        "what it is given",
        store=url,
        condition=code,
    )
