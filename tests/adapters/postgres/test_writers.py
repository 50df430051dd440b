"""Many writers on one store: positions in commit order, nothing skipped, nobody held up by one that was stopped."""

import asyncio
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio

from adapters.postgres import PostgresEventStore, PostgresViewStore
from bus import Bus, Limits
from bus.core.stored import NewEvent, StoredEvent
from tests.adapters.postgres.conftest import Sql
from tests.adapters.postgres.databases import check_log, recorded, schema_of
from tests.contracts.entries import NOON, entry
from tests.support.ledger import LEDGER, GetJournal

NewUrl = Callable[[], str]
ROOT = Path(__file__).resolve().parents[3]


@contextmanager
def _process(url: str, name: str) -> Iterator[subprocess.Popen[str]]:
    """A writer in a process of its own, at work."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.adapters.postgres.programs", url, name],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "appending\n"
            yield process
        finally:
            process.kill()


async def test_a_process_that_is_stopped_holds_up_nobody(new_url: NewUrl) -> None:
    url = new_url()
    chance = random.Random(1)
    async with PostgresEventStore(url) as store:
        with _process(url, "stopped") as process:
            for version in range(15):
                # Wherever in its appends it happens to be.
                await asyncio.sleep(chance.random() * 0.01)
                process.send_signal(signal.SIGSTOP)
                with anyio.fail_after(20):
                    assert not (await store.append([entry("mine-1", version, f"mine {version}")], NOON)).refused
                process.send_signal(signal.SIGCONT)
        rows = await recorded(url)
        check_log(rows)
        assert sum(stream == "mine-1" for _, stream, *_ in rows) == 15
        assert len(rows) > 15


async def test_readers_skip_nothing_while_writers_conflict_are_refused_and_give_up(new_url: NewUrl, sql: Sql) -> None:
    url = new_url()
    versions: dict[str, int] = {}
    stores = [PostgresEventStore(url) for _ in range(4)]
    done = anyio.Event()

    async def write(number: int, store: PostgresEventStore) -> None:
        chance = random.Random(number)
        for count in range(60):
            streams = {f"account-{chance.randrange(10)}" for _ in range(chance.choice([1, 3, 20]))}
            bad = [entry("nul-\0", 0, "never")] if chance.random() < 0.3 else []
            event = [NewEvent("deposited", b'{"$type":"deposited","amount":1}')]
            batch = [entry(one, versions.get(one, 0), f"{number} {count} {one}", event) for one in sorted(streams)]
            with anyio.CancelScope() as scope:
                if chance.random() < 0.1:
                    scope.deadline = anyio.current_time() + 0.001
                appended = await store.append([*batch, *bad], NOON)
                for index, one in enumerate(batch):
                    if index not in appended.refused:
                        versions[one.stream] = max(versions.get(one.stream, 0), one.expected_version + 1)
            if not batch or chance.random() < 0.5:
                # What the others did is read, and so the next attempt may fit.
                for event_of in await store.stream_pages(dict.fromkeys(versions, 0), 99_999):
                    versions[event_of.stream] = max(versions[event_of.stream], event_of.version)

    async def read(store: PostgresEventStore) -> None:
        while not done.is_set():
            at = 0
            seen: list[StoredEvent] = []
            while page := await store.page(at, 7):
                seen += page
                at = page[-1].position
            assert [event.position for event in seen] == list(range(1, len(seen) + 1))

    async def write_all() -> None:
        async with anyio.create_task_group() as group:
            for number, store in enumerate(stores):
                group.start_soon(write, number, store)
        done.set()

    async with stores[0], stores[1], stores[2], stores[3], PostgresEventStore(url) as reader:
        # A transaction that somebody forgot elsewhere on the server delays nobody.
        await sql("BEGIN ISOLATION LEVEL REPEATABLE READ")
        await sql(f"SELECT * FROM {schema_of(url)}.events")
        # A bus that wrote none of it follows, at a slow pace.
        small = Limits(page_events_max=3, projection_events_max=3, poll_interval_s=0.01)
        bus = Bus(LEDGER, event_store=PostgresEventStore(url), view_store=PostgresViewStore(new_url()), limits=small)
        async with bus, anyio.create_task_group() as group:
            group.start_soon(write_all)
            group.start_soon(read, reader)
            await done.wait()
            await bus.wait_settled(timeout=60)
            journal = await bus.query(GetJournal())
        await sql("ROLLBACK")
    rows = await recorded(url)
    check_log(rows)
    assert len(rows) > 50
    assert journal is not None
    assert journal.entries == [(position, stream, version) for position, stream, version, _ in rows]
