"""The laws of a view store that lets a user's SQL into its transactions. An adapter's tests inherit and name the store.

What the statements are is the database's business; those here are understood by all, save for the placeholders.
"""

from collections.abc import Callable

import anyio
import pytest

from bus.core.errors import StatementFailed, StoreUnavailable
from bus.core.stored import Checkpoint, ViewChanges, ViewTable
from bus.core.transactions import Transaction, Work
from bus.ports import SqlViewStore, ViewStore
from tests.contracts.view_store import FIRST, START

NewViewStore = Callable[[], ViewStore]

TALLY = ViewTable("tally", 1)
OTHER = ViewTable("other", 1)
SECOND = Checkpoint(8, "store", "a-1", 4)
MOVES = ViewChanges(START, FIRST, (), ())
TIMEOUT_S = 60.0


async def make(transaction: Transaction) -> None:
    await transaction.execute("CREATE TABLE tallies(name text PRIMARY KEY, number integer NOT NULL)")


def places(transaction: Transaction, number: int) -> str:
    """So many placeholders."""
    if transaction.dialect == "sqlite":
        return ", ".join(["?"] * number)
    return ", ".join([f"${place}" for place in range(1, number + 1)])


async def put(transaction: Transaction, name: str, number: int) -> None:
    await transaction.execute(f"INSERT INTO tallies VALUES ({places(transaction, 2)})", name, number)


async def read(transaction: Transaction) -> list[tuple[object, ...]]:
    return list(await transaction.fetch("SELECT name, number FROM tallies ORDER BY name"))


class Opened:
    """A store with the table of tallies, by both of its ports."""

    def __init__(self, store: ViewStore) -> None:
        assert isinstance(store, SqlViewStore)
        self.store = store
        self.sql: SqlViewStore = store

    async def ready(self) -> "Opened":
        await self.sql.set_up(TALLY, make, TIMEOUT_S)
        await self.store.prepare([TALLY, OTHER])
        return self

    async def write(self, work: Work, changes: ViewChanges = MOVES, timeout_s: float = TIMEOUT_S) -> bool:
        return await self.sql.write(TALLY, changes, work, timeout_s)

    async def rows(self) -> list[tuple[object, ...]]:
        """What is committed."""
        found: list[tuple[object, ...]] = []

        async def work(transaction: Transaction) -> None:
            found.extend(await read(transaction))
            raise LookupError

        with pytest.raises(LookupError):
            await self.write(work, ViewChanges(await self.checkpoint(), SECOND, (), ()))
        return found

    async def checkpoint(self) -> Checkpoint:
        return (await self.store.prepare([TALLY]))[TALLY]


class ViewWritingLaws:
    """Needs a fixture `new_store`."""

    async def test_what_is_set_up_once_is_there_and_not_set_up_again(self, new_store: NewViewStore) -> None:
        async with new_store() as store:
            opened = await Opened(store).ready()
            await opened.sql.set_up(TALLY, make, TIMEOUT_S)
            assert await opened.checkpoint() == START
            assert await opened.rows() == []

    async def test_a_setup_that_fails_leaves_neither_table_nor_checkpoint(self, new_store: NewViewStore) -> None:
        async def fail(transaction: Transaction) -> None:
            await make(transaction)
            raise LookupError

        async with new_store() as store:
            opened = Opened(store)
            with pytest.raises(LookupError):
                await opened.sql.set_up(TALLY, fail, TIMEOUT_S)
            # So it is done the next time, from the beginning.
            await opened.ready()
            assert await opened.rows() == []

    async def test_of_several_setups_at_once_one_is_done(self, new_store: NewViewStore) -> None:
        done: list[int] = []

        async def work(transaction: Transaction) -> None:
            await make(transaction)
            done.append(1)

        async with new_store() as store:
            async with anyio.create_task_group() as group:
                for _ in range(3):
                    group.start_soon(Opened(store).sql.set_up, TALLY, work, TIMEOUT_S)
            assert done == [1]

    async def test_rows_and_checkpoint_are_there_after_a_write(self, new_store: NewViewStore) -> None:
        async def work(transaction: Transaction) -> None:
            await put(transaction, "b", 1)
            assert await read(transaction) == [("b", 1)]
            await transaction.execute_many(
                f"INSERT INTO tallies VALUES ({places(transaction, 2)})", iter([("a", 2), ("c", 3)])
            )
            await transaction.execute("UPDATE tallies SET number = number + 1 WHERE name = 'a'")

        async with new_store() as store:
            opened = await Opened(store).ready()
            assert await opened.write(work)
            assert await opened.checkpoint() == FIRST
            assert await opened.rows() == [("a", 3), ("b", 1), ("c", 3)]
            async with store.snapshot() as reader:
                assert await reader.checkpoint(TALLY) == FIRST
                assert await reader.find(TALLY, {}, None, False, 9) == []

    async def test_a_write_on_another_checkpoint_does_nothing(self, new_store: NewViewStore) -> None:
        begun: list[int] = []

        async def work(transaction: Transaction) -> None:
            begun.append(1)

        async with new_store() as store:
            opened = await Opened(store).ready()
            assert not await opened.write(work, ViewChanges(FIRST, SECOND, (), ()))
            assert await opened.checkpoint() == START
            assert not begun
            assert await opened.write(work)
            assert not await opened.write(work)
            assert begun == [1]

    async def test_what_work_raises_is_raised_and_everything_is_rolled_back(self, new_store: NewViewStore) -> None:
        async def work(transaction: Transaction) -> None:
            await put(transaction, "a", 1)
            raise LookupError("a bug")

        async with new_store() as store:
            opened = await Opened(store).ready()
            with pytest.raises(LookupError, match="a bug"):
                await opened.write(work)
            assert await opened.checkpoint() == START
            assert await opened.rows() == []

    @pytest.mark.parametrize(
        ("statement", "condition"),
        [
            ("INSERT INTO tallies VALUES ('a', NULL)", ("23502", "SQLITE_CONSTRAINT_NOTNULL")),
            ("INSERT INTO nowhere VALUES (1)", ("42P01", "SQLITE_ERROR")),
            ("this is no SQL", ("42601", "SQLITE_ERROR")),
        ],
    )
    async def test_a_statement_that_fails_is_told_and_fails_everything(
        self, new_store: NewViewStore, statement: str, condition: tuple[str, ...]
    ) -> None:
        async def work(transaction: Transaction) -> None:
            await put(transaction, "a", 1)
            await transaction.execute(statement)

        async with new_store() as store:
            opened = await Opened(store).ready()
            with pytest.raises(StatementFailed, match="refuses a statement") as caught:
                await opened.write(work)
            assert caught.value.condition in condition
            assert caught.value.store == store.url
            assert await opened.checkpoint() == START
            assert await opened.rows() == []

    async def test_a_failure_that_work_passes_over_fails_everything_all_the_same(self, new_store: NewViewStore) -> None:
        async def work(transaction: Transaction) -> None:
            await put(transaction, "a", 1)
            with pytest.raises(StatementFailed, match="refuses a statement"):
                await put(transaction, "a", 2)
            with pytest.raises(StatementFailed, match="has failed already"):
                await put(transaction, "b", 2)

        async with new_store() as store:
            opened = await Opened(store).ready()
            with pytest.raises(StatementFailed, match="refuses a statement"):
                await opened.write(work)
            assert await opened.rows() == []

    async def test_parameters_that_do_not_fit_are_the_statements_fault(self, new_store: NewViewStore) -> None:
        async def too_few(transaction: Transaction) -> None:
            await transaction.execute(f"INSERT INTO tallies VALUES ({places(transaction, 2)})", "a")

        async def no_value(transaction: Transaction) -> None:
            await put(transaction, "a", object())  # type: ignore[arg-type]

        async def too_large(transaction: Transaction) -> None:
            await put(transaction, "a", 2**70)

        async def two_statements(transaction: Transaction) -> None:
            await transaction.execute("DELETE FROM tallies; DELETE FROM tallies")

        async with new_store() as store:
            opened = await Opened(store).ready()
            for work in (too_few, no_value, too_large, two_statements):
                with pytest.raises(StatementFailed, match="refuses a statement"):
                    await opened.write(work)
            assert await opened.rows() == []

    @pytest.mark.parametrize(
        "statement",
        ["COMMIT", "  rollback", "-- a word first\nEND", "/* and */ ABORT", "BEGIN", "SAVEPOINT s", "; COMMIT"],
    )
    async def test_statements_that_end_the_transaction_are_refused_and_fail_everything(
        self, new_store: NewViewStore, statement: str
    ) -> None:
        async def work(transaction: Transaction) -> None:
            await put(transaction, "a", 1)
            with pytest.raises(StatementFailed, match="is refused"):
                await transaction.fetch(statement)

        async with new_store() as store:
            opened = await Opened(store).ready()
            with pytest.raises(StatementFailed, match="is refused"):
                await opened.write(work)
            assert await opened.checkpoint() == START
            assert await opened.rows() == []

    async def test_use_after_work_has_returned_is_refused(self, new_store: NewViewStore) -> None:
        kept: list[Transaction] = []

        async def work(transaction: Transaction) -> None:
            kept.append(transaction)

        async with new_store() as store:
            opened = await Opened(store).ready()
            await opened.write(work)
            for use in (kept[0].execute, kept[0].fetch):
                with pytest.raises(StatementFailed, match="is over"):
                    await use("DELETE FROM tallies")
            with pytest.raises(StatementFailed, match="is over"):
                await kept[0].execute_many("DELETE FROM tallies", [()])

    async def test_statements_sent_at_once_are_run_one_by_one(self, new_store: NewViewStore) -> None:
        async def work(transaction: Transaction) -> None:
            async with anyio.create_task_group() as group:
                for number in range(10):
                    group.start_soon(put, transaction, f"n{number}", number)

        async with new_store() as store:
            opened = await Opened(store).ready()
            assert await opened.write(work)
            assert len(await opened.rows()) == 10

    async def test_nothing_comes_between_the_statements_of_a_transaction(self, new_store: NewViewStore) -> None:
        begun, gate = anyio.Event(), anyio.Event()
        done: list[str] = []

        async def work(transaction: Transaction) -> None:
            await put(transaction, "a", 1)
            begun.set()
            await gate.wait()
            done.append("work")
            raise LookupError

        async def write(opened: Opened) -> None:
            with pytest.raises(LookupError):
                await opened.write(work)

        async def others(store: ViewStore) -> None:
            assert await store.commit(OTHER, MOVES)
            done.append("commit")

        async with new_store() as store:
            opened = await Opened(store).ready()
            async with anyio.create_task_group() as group:
                group.start_soon(write, opened)
                await begun.wait()
                group.start_soon(others, store)
                async with store.snapshot() as reader:
                    assert await reader.checkpoint(TALLY) == START
                await anyio.wait_all_tasks_blocked()
                gate.set()
            # What was rolled back has taken nothing along.
            assert (await store.prepare([OTHER]))[OTHER] == FIRST
            assert sorted(done) == ["commit", "work"]
            assert await opened.rows() == []

    async def test_a_write_that_is_cancelled_is_rolled_back_and_lets_others_in(self, new_store: NewViewStore) -> None:
        async def work(transaction: Transaction) -> None:
            await put(transaction, "a", 1)
            scope.cancel()
            await anyio.sleep_forever()

        async with new_store() as store:
            opened = await Opened(store).ready()
            with anyio.CancelScope() as scope:
                await opened.write(work)
            assert scope.cancelled_caught
            with anyio.fail_after(30):
                assert await opened.checkpoint() == START
                assert await opened.rows() == []

    async def test_a_statement_that_is_given_up_fails_everything(self, new_store: NewViewStore) -> None:
        async def work(transaction: Transaction) -> None:
            with anyio.CancelScope() as scope:
                scope.cancel()
                await put(transaction, "a", 1)

        async with new_store() as store:
            opened = await Opened(store).ready()
            with pytest.raises(StatementFailed, match="given up"):
                await opened.write(work)
            assert await opened.rows() == []

    async def test_a_store_that_is_not_open_writes_nothing_and_says_so(self, new_store: NewViewStore) -> None:
        store = new_store()
        async with store:
            opened = await Opened(store).ready()
        with pytest.raises(StoreUnavailable, match="not open"):
            await opened.write(make)
        with pytest.raises(StoreUnavailable, match="not open"):
            await opened.sql.set_up(OTHER, make, TIMEOUT_S)


LONG = """
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000000000) SELECT count(*) FROM n
"""


async def put_one(transaction: Transaction) -> None:
    await put(transaction, "a", 1)


class LongStatementLaws:
    """Those of a store whose statements run elsewhere than on the event loop. Needs a fixture `new_store`."""

    async def test_a_statement_that_takes_long_keeps_nobody_who_is_cancelled(self, new_store: NewViewStore) -> None:
        async def work(transaction: Transaction) -> None:
            await transaction.fetch(LONG)

        async with new_store() as store:
            opened = await Opened(store).ready()
            with anyio.fail_after(30):
                with anyio.move_on_after(0.2) as scope:
                    await opened.write(work)
                assert scope.cancelled_caught
                assert await opened.checkpoint() == START

    async def test_a_long_statement_that_work_gives_up_fails_everything_and_leaves_the_store_usable(
        self, new_store: NewViewStore
    ) -> None:
        async def work(transaction: Transaction) -> None:
            await put(transaction, "a", 1)
            with anyio.move_on_after(0.2):
                await transaction.fetch(LONG)
            with pytest.raises(StatementFailed, match="has failed already"):
                await put(transaction, "b", 1)
            raise LookupError

        async with new_store() as store:
            opened = await Opened(store).ready()
            with anyio.fail_after(30):
                with pytest.raises(LookupError):
                    await opened.write(work)
                assert await opened.rows() == []
                assert await opened.write(put_one)
