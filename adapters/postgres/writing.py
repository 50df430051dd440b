"""A user's statements in the transaction of a checkpoint: begun, run one by one, and committed or rolled back."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, TypeVar

import asyncpg

from adapters.postgres.connections import Connection, Connections
from adapters.postgres.errors import DRIVER_ERRORS, InDoubt, is_certain, sqlstate, told, unavailable
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
_LOST = "doubledecker: another process was quicker"
"""What the server is made to call no number where checkpoint or lease are others by now; it translates no value."""

_FINISH = f"""
WITH moved AS (
    UPDATE {{schema}}.projections p SET position = $7, store_id = $8, stream = $9, stream_version = $10
    WHERE p.projection_key = $1 AND {_CONDITION} RETURNING 1
)
SELECT CASE count(*) WHEN 1 THEN 1 ELSE ('{_LOST} ' || count(*))::integer END FROM moved;
COMMIT
"""
"""Whoever was paused and has lost the lease meanwhile commits nothing. Sent as one message, so that the row, which
leases need as well, is not locked for as long as a client takes to answer; therefore without parameters."""


class PostgresTransaction:
    """See `bus.core.Transaction`. Statements come one after the other, whoever sends them at once."""

    def __init__(self, connection: Connection, url: str, timeout_s: float) -> None:
        self._connection = connection
        self._url = url
        self._timeout_s = timeout_s
        self._turn = asyncio.Lock()
        self._is_over = False
        self.failure: StatementFailed | StoreUnavailable | None = None
        """What the whole transaction has failed with."""

    @property
    def dialect(self) -> Dialect:
        return "postgresql"

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

        values = (*before, *checkpoint_columns(changes.checkpoint))
        return await self.run(look, work, idle_s, finish=written_out(_FINISH, values, self._target.quoted_schema))

    async def run(self, begin: Step, work: Work, idle_s: float, *, finish: str = "COMMIT") -> bool:
        """Does `begin` in a new transaction and, unless it is false, `work` and `finish`, which commits.

        Returns whether it has committed, and raises as `SqlViewStore.write` does.
        """
        failure: Exception | None = None
        is_done = False
        async with self._connections.lease() as connection:
            try:
                is_done = await self._try(connection, begin, work, idle_s, finish)
            except Exception as error:
                # The connection is as good as before, once the transaction is rolled back.
                failure = error
            if not is_done:
                await self._roll_back(connection)
        if failure is not None:
            raise failure
        return is_done

    async def _try(self, connection: Connection, begin: Step, work: Work, idle_s: float, finish: str) -> bool:
        schema = self._target.quoted_schema.replace("'", "''")
        opening = _BEGIN.format(idle_ms=max(1, round(idle_s * 1_000)), schema=schema)
        await self._answered(connection.execute(opening))
        if not await self._answered(begin(connection)):
            return False
        await _work(PostgresTransaction(connection, self._target.url, self._timeout_s), work)
        return await self._finish(connection, finish)

    async def _finish(self, connection: Connection, statements: str) -> bool:
        try:
            async with asyncio.timeout(self._timeout_s):
                status = await connection.execute(statements)
        except DRIVER_ERRORS as error:
            if _LOST in str(error):
                return False
            if is_certain(error):
                # Such as a constraint that is looked at only now.
                raise failure_of(error, self._target.url) from error
            raise InDoubt(
                f"{self._target.url}: it is not certain whether a batch was committed ({told(error)})"
            ) from error
        assert status == "COMMIT", "no statement had failed"
        return True

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


def written_out(statement: str, values: Sequence[object], quoted_schema: str) -> str:
    """The statement with its parameters, numbers and texts, in their places, which none of them can be mistaken for."""

    def literal(place: re.Match[str]) -> str:
        if place.group(1) is None:
            return quoted_schema
        value = values[int(place.group(1)) - 1]
        if isinstance(value, int):
            return str(value)
        # In this form a text means the same whatever the server's settings are.
        return "E'" + str(value).replace("\\", "\\\\").replace("'", "''") + "'"

    return re.sub(r"\$([0-9]+)|\{schema\}", literal, statement)


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
