"""Reading on SQLite: the same promises where commits and reads happen in other threads."""

from pathlib import Path
from typing import Any

import anyio
import pytest

from adapters.sqlite import SqliteEventStore, SqliteViewStore
from bus import Application, Bus, Limits, NotProjected, Query, QueryTimeout, Views
from tests.support.ledger import (
    ACCOUNT,
    BALANCES,
    JOURNAL,
    LEDGER,
    NOTE,
    Balance,
    Deposit,
    GetBalance,
    GetJournal,
    Journal,
    WriteNote,
    balances,
    ledger,
)


@pytest.fixture
def anyio_backend() -> str:
    """Real time, since the stores' threads live in it."""
    return "asyncio"


async def entries(bus: Bus) -> list[tuple[int, str, int]]:
    return [(one.position, one.stream, one.version) async for one in bus.events()]


@pytest.mark.parametrize("limits", [Limits(), Limits(feed_events_max=3, page_events_max=4, projection_events_max=5)])
async def test_every_event_is_projected_once_in_order_while_batches_commit(tmp_path: Path, limits: Limits) -> None:
    for _ in range(3):
        async with Bus(
            LEDGER,
            event_store=SqliteEventStore(tmp_path / "events.db"),
            view_store=SqliteViewStore(tmp_path / "views.db"),
            limits=limits,
        ) as bus:

            async def write(name: str, bus: Bus = bus) -> None:
                for number in range(20):
                    receipt = await bus.send(Deposit(f"{name}-{number % 3}", 1, times=1 + number % 3))
                    if number % 5 == 0:
                        journal = await bus.query(GetJournal(), after=receipt)
                        assert journal is not None
                        assert receipt.position in [one[0] for one in journal.entries]
                    await bus.send(WriteNote(name))

            async with anyio.create_task_group() as tasks:
                for name in ("x", "y", "z"):
                    tasks.start_soon(write, name)
            await bus.wait_settled()
            journal = await bus.query(GetJournal())
            assert journal is not None
            assert journal.entries == await entries(bus)


def remove(database: Path) -> None:
    for file in database.parent.glob(f"{database.name}*"):
        file.unlink()


async def test_views_deleted_are_built_again_from_the_events(tmp_path: Path) -> None:
    events, views = tmp_path / "events.db", tmp_path / "views.db"
    for _ in range(2):
        async with Bus(LEDGER, event_store=SqliteEventStore(events), view_store=SqliteViewStore(views)) as bus:
            if not (await bus.load(ACCOUNT, "a")).version:
                await bus.send_many([Deposit("a")] * 500)
            await bus.wait_settled()
            found = await bus.query(GetBalance("a"))
            assert found == Balance("a", 500, list(range(1, 501)))
        remove(views)


class Ask(Query[Any]):
    seconds: float = 0


async def slowly(query: Ask, views: Views) -> Any:
    found = await views.get(Balance, "a"), await views.get(Journal, "all")
    await anyio.sleep(query.seconds)
    return found


async def test_many_queries_that_wait_or_are_given_up_leave_the_store_to_the_others(tmp_path: Path) -> None:
    application = Application(deciders=[ACCOUNT, NOTE], projections=[BALANCES, JOURNAL], query_handlers=[slowly])
    async with Bus(
        application,
        event_store=SqliteEventStore(tmp_path / "events.db"),
        view_store=SqliteViewStore(tmp_path / "views.db", readers_max=2),
    ) as bus:
        ends: list[type[BaseException]] = []

        async def out_of_reach() -> None:
            try:
                await bus.query(Ask(), after=1_000, timeout=1)
            except NotProjected as error:
                ends.append(type(error))

        async def too_slow() -> None:
            try:
                await bus.query(Ask(3_600), timeout=0.1)
            except QueryTimeout as error:
                ends.append(type(error))

        async def given_up() -> None:
            with anyio.move_on_after(0.05):
                await bus.query(Ask(3_600))
            ends.append(TimeoutError)

        async with anyio.create_task_group() as tasks:
            for _ in range(20):
                for call in (out_of_reach, too_slow, given_up):
                    tasks.start_soon(call)
            receipt = await bus.send(Deposit("a", 5))
            balance, journal = await bus.query(Ask(), after=receipt)
            assert balance == Balance("a", 5, [1])
            assert journal == Journal([(1, "account-a", 1)])
        assert len(ends) == 60


async def test_views_in_a_file_keep_both_versions_of_a_projection(tmp_path: Path) -> None:
    events, views = tmp_path / "events.db", tmp_path / "views.db"
    for version, built in ((1, 3), (2, 3), (1, 0)):
        application = ledger(balances(version=version))
        async with Bus(application, event_store=SqliteEventStore(events), view_store=SqliteViewStore(views)) as bus:
            if version == 1 and built:
                await bus.send_many([Deposit("a")] * 3)
            await bus.wait_settled()
            assert bus.statistics().projections[0].events == built
            assert await bus.query(GetBalance("a")) == Balance("a", 3, [1, 2, 3])
