"""A process that projects is stopped between fold and commit: another goes on, and the first writes nothing more."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import anyio
import anyio.to_thread

from adapters.postgres import PostgresEventStore, PostgresViewStore
from bus import Bus
from tests.adapters.postgres import batch_holder
from tests.adapters.postgres.conftest import Sql
from tests.adapters.postgres.databases import recorded, schema_of
from tests.adapters.postgres.holder import LIMITS
from tests.support.ledger import LEDGER, Deposit, GetBalance, GetJournal
from tests.support.lines import GetLines, bookkeeping

NewUrl = Callable[[], str]
ROOT = Path(__file__).resolve().parents[3]


class Holder:
    """The other process."""

    def __init__(self, pid: int, reads: IO[str], writes: IO[str]) -> None:
        self._pid = pid
        self._reads = reads
        self._writes = writes

    async def says(self) -> object:
        with anyio.fail_after(60):
            return json.loads(await anyio.to_thread.run_sync(self._writes.readline, abandon_on_cancel=True))

    async def stops_itself(self) -> None:
        with anyio.fail_after(60):
            _, status = await anyio.to_thread.run_sync(os.waitpid, self._pid, os.WUNTRACED, abandon_on_cancel=True)
        assert os.WIFSTOPPED(status)

    def goes_on(self) -> None:
        os.kill(self._pid, signal.SIGCONT)

    async def answers(self, position: int) -> object:
        self._reads.write(f"{position}\n")
        self._reads.flush()
        return await self.says()


@contextmanager
def _holder(url: str, program: str = "holder") -> Iterator[Holder]:
    arguments = [sys.executable, "-m", f"tests.adapters.postgres.{program}", url]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            yield Holder(process.pid, process.stdin, process.stdout)
        finally:
            process.kill()


async def test_a_holder_stopped_between_fold_and_commit_is_followed_and_stands_by_when_it_goes_on(
    new_url: NewUrl, sql: Sql
) -> None:
    url = new_url()
    bus = Bus(LEDGER, event_store=PostgresEventStore(url), view_store=PostgresViewStore(url), limits=LIMITS)
    with _holder(url) as holder:
        assert await holder.says() == ["balances", "journal", "notes"]
        async with bus:
            first = await bus.send(Deposit("a", 1))
            await holder.stops_itself()
            second = await bus.send(Deposit("a", 2))
            await bus.wait_projected(second, timeout=60)
            assert all(one.is_here for one in bus.statistics().projections)
            balance = await bus.query(GetBalance("a"))
            assert balance is not None
            assert balance.positions == [first.position, second.position]
            holder.goes_on()
            # What the other one projects is heard there as well.
            third = await bus.send(Deposit("a", 3))
            told = await holder.answers(third.position)
            assert isinstance(told, dict)
            assert told["balance"] == told["journal"] == [1, 2, 3]
            assert told["here"] == []
            assert told["restarts"] == 0
            assert told["outcomes"]
            assert not any(written for *_, written in told["outcomes"])
            epochs = await sql(f"SELECT projection, epoch FROM {schema_of(url)}.projections ORDER BY projection")
            assert [tuple(row) for row in epochs] == [("balances", 2), ("journal", 2), ("notes", 2)]
            journal = await bus.query(GetJournal(), after=third)
            assert journal is not None
            assert journal.entries == [place[:3] for place in await recorded(url)]
        # Released, they are taken by who stood by.
        async with bus:
            fourth = await bus.send(Deposit("a", 4))
            told = await holder.answers(fourth.position)
            assert isinstance(told, dict)
            assert told["balance"] == [1, 2, 3, 4]


async def test_a_holder_stopped_in_the_middle_of_a_batch_is_ended_by_the_server_and_followed(new_url: NewUrl) -> None:
    url = new_url()
    bus = Bus(
        bookkeeping(batch_holder.reads(url)),
        event_store=PostgresEventStore(url),
        view_store=PostgresViewStore(url),
        limits=batch_holder.LIMITS,
    )
    with _holder(url, "batch_holder") as holder:
        assert await holder.says() == ["lines", "balances", "journal"]
        async with bus:
            first = await bus.send(Deposit("a", 1))
            await holder.stops_itself()
            second = await bus.send(Deposit("b", 2))
            # The table is locked by the other process until the server ends that one's session.
            found = await bus.query(GetLines(), after=second, timeout=60)
            assert found == [(1, "account-a", 1), (2, "account-b", 2)]
            holder.goes_on()
            third = await bus.send(Deposit("a", 3))
            told = await holder.answers(third.position)
            assert told == {"lines": [[1, "account-a", 1], [2, "account-b", 2], [3, "account-a", 3]], "here": []}
            assert (first.position, second.position, third.position) == (1, 2, 3)
        # Released, it is taken by who stood by.
        async with bus:
            fourth = await bus.send(Deposit("a", 4))
            told = await holder.answers(fourth.position)
            assert isinstance(told, dict)
            assert [position for position, *_ in told["lines"]] == [1, 2, 3, 4]
