"""Each statement of the writer fails in turn, before or after it is carried out: answers are true, and the bus goes on.

What a real disk cannot be made to do on demand, above all a commit that reaches it although it is said to have failed.
"""

import sqlite3
from pathlib import Path

import pytest

from bus import Receipt, StoreUnavailable
from tests.crashes.jars import Fill
from tests.crashes.sqlite_files import EVENTS, bus_on, check_all_there, fill
from tests.crashes.statements import Fault, FaultyEventStore

COMMANDS = {f"new-{number}": Fill(jar, [1, 2]) for number, jar in enumerate(["k-1", "k-2", "k-2", "k-3"])}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def _told(folder: Path, fault: Fault) -> tuple[list[Receipt | BaseException], list[str]]:
    """What a batch is answered that meets the fault, and the statements; checks that all is in order then."""
    store = FaultyEventStore(folder / EVENTS, readers_max=1)
    async with bus_on(folder, event_store=store) as bus:
        sent = await fill(bus, 0, 60)
        store.connection.fault = fault
        outcomes = list(await bus.send_many(list(COMMANDS.values()), command_ids=list(COMMANDS)))
        store.connection.fault = None
        recorded = [one.command_id async for one in bus.events()]
        for command_id, outcome in zip(COMMANDS, outcomes, strict=True):
            assert isinstance(outcome, Receipt | StoreUnavailable)
            assert recorded.count(command_id) == (2 if isinstance(outcome, Receipt) else 0)
            if isinstance(outcome, Receipt):
                assert not outcome.duplicate
            again = await bus.send(COMMANDS[command_id], command_id=command_id)
            assert again.duplicate is isinstance(outcome, Receipt)
            if isinstance(outcome, Receipt):
                assert again.position == outcome.position
        await bus.wait_settled()
        await check_all_there(bus, sent)
    return list(outcomes), store.connection.statements


@pytest.mark.parametrize(
    ("code", "is_late", "is_certain"),
    [
        (sqlite3.SQLITE_FULL, False, True),
        (sqlite3.SQLITE_IOERR_WRITE, False, True),
        (sqlite3.SQLITE_IOERR_FSYNC, False, False),
        (sqlite3.SQLITE_IOERR_FSYNC, True, False),
        (sqlite3.SQLITE_IOERR, True, False),
    ],
)
async def test_wherever_a_statement_fails_receipts_are_true_and_errors_too(
    tmp_path: Path, code: int, is_late: bool, is_certain: bool
) -> None:
    at, met = 0, []
    while True:
        at += 1
        folder = tmp_path / str(at)
        folder.mkdir()
        outcomes, statements = await _told(folder, Fault(at, code, is_late))
        if len(statements) < at:
            break
        met.append(statements[at - 1])
        # Only a commit in doubt is tried again; what failed before it is told.
        is_told = met[-1] != "COMMIT" or is_certain
        assert [isinstance(one, StoreUnavailable) for one in outcomes] == [is_told] * len(outcomes), (at, met[-1])
    assert {"BEGIN", "INSERT", "COMMIT"} <= set(met)
