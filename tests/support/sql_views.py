"""A view store in memory that takes SQL as well, and does as it is told."""

import sqlite3
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import anyio
import anyio.lowlevel

from adapters.sqlite.writing import SqliteTransaction
from bus.core.errors import StoreUnavailable
from bus.core.stored import ViewChanges, ViewTable
from bus.core.transactions import Work
from bus.memory import MemoryViewStore
from tests.support.views import ToldViewStore

T = TypeVar("T")


class Tables:
    """Those of users. Several stores may share them, as they may the views."""

    def __init__(self) -> None:
        self.database = sqlite3.connect(":memory:", isolation_level=None)
        self.turn = anyio.Lock()

    async def run(self, job: Callable[[], T]) -> T:
        """At once, where the adapter has a thread for it."""
        await anyio.lowlevel.checkpoint()
        return job()

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What is committed, while no transaction is open."""
        return self.database.execute(query).fetchall()


class ToldSqlViewStore(ToldViewStore):
    """Its transactions meet the faults of `ToldViewStore` when they commit, save `late`."""

    def __init__(self, kept: MemoryViewStore | None = None, tables: Tables | None = None) -> None:
        super().__init__(kept)
        self.user = tables or Tables()

    async def set_up(self, table: ViewTable, work: Work, timeout_s: float) -> None:
        async def prepare() -> bool:
            await self.kept.prepare([table])
            return True

        async def is_there() -> bool:
            return any(one.table.place == table.place for one in await self.kept.builds())

        self._check_up()
        self.kept.check_open()
        async with self.user.turn:
            if not await is_there():
                await self._do(work, prepare, is_there)

    async def write(self, table: ViewTable, changes: ViewChanges, work: Work, timeout_s: float) -> bool:
        async def commit() -> bool:
            return await self.commit(table, changes)

        async def is_moved() -> bool:
            return (await self.kept.prepare([table]))[table] == changes.checkpoint

        self._check_up()
        async with self.user.turn:
            if (await self.kept.prepare([table]))[table] != changes.expected:
                return False
            return await self._do(work, commit, is_moved)

    async def _do(
        self, work: Work, commit: Callable[[], Awaitable[bool]], has_happened: Callable[[], Awaitable[bool]]
    ) -> bool:
        """Both commit or neither does, whatever `commit` says of it."""
        transaction = SqliteTransaction(self.user, self.user.database, self.url)
        self.user.database.execute("BEGIN")
        failure: Exception | None = None
        try:
            try:
                await work(transaction)
            except Exception as error:
                failure = error
            if failure is None or isinstance(transaction.failure, StoreUnavailable):
                failure = transaction.failure
            if failure is not None:
                raise failure
            return await commit()
        finally:
            transaction.close()
            is_done = False
            if self.user.database.in_transaction:
                with anyio.CancelScope(shield=True):
                    is_done = failure is None and await has_happened()
                self.user.database.execute("COMMIT" if is_done else "ROLLBACK")
