"""A disk that refuses to write, to read, to make durable, under an open bus: clear errors; afterwards it goes on."""

import os
import resource
from pathlib import Path
from typing import Any

import pytest

from adapters.sqlite import SqliteEventStore, SqliteViewStore
from bus import Bus, BusError, OutcomeUnknown, ProjectionTimeout, Receipt, StoreUnavailable
from tests.adapters.cli.workers import Worker, worker
from tests.crashes.audit import audit_views
from tests.crashes.descriptors import FULL, WITHOUT_READING, WITHOUT_WRITING, descriptors_of, exchanged
from tests.crashes.jars import JARS, Fill
from tests.crashes.sqlite_files import EVENTS, VIEWS, Sent, bus_on, check_all_there, fill, size

LOG = f"{EVENTS}-wal"
NOTHING = Path("/dev/null")
"""Takes every write, keeps nothing, and cannot make anything durable."""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def _attempted(bus: Bus, command_ids: list[str]) -> list[Receipt | BusError]:
    """One batch to as many jars, all of which were filled before, so that nothing need be read."""
    commands = [Fill(f"j-{number}", [1, 2]) for number, _ in enumerate(command_ids)]
    return await bus.send_many(commands, command_ids=command_ids)


async def _check_views(folder: Path) -> None:
    async with SqliteEventStore(folder / EVENTS, read_only=True) as store:
        events = await store.page(0, 99_999)
    ends = await audit_views(JARS, events, SqliteViewStore(folder / VIEWS))
    assert set(ends.values()) == {len(events)}


async def _goes_on(bus: Bus, sent: list[Sent], command_ids: list[str]) -> None:
    """What was refused can be recorded now, once, and nothing that was acknowledged is missing."""
    again = await _attempted(bus, command_ids)
    assert [isinstance(one, Receipt) and not one.duplicate for one in again] == [True] * len(command_ids), again
    await check_all_there(bus, sent)
    ids = [one.command_id async for one in bus.events()]
    assert [ids.count(command_id) for command_id in command_ids] == [2] * len(command_ids)
    await bus.wait_settled()


@pytest.mark.parametrize(
    ("mode", "target", "why"),
    [(WITHOUT_WRITING, None, "the disk or a size limit refuses"), (os.O_RDWR, FULL, "there is no room for it")],
    ids=["refuses", "full"],
)
async def test_a_disk_that_takes_no_writes_refuses_its_senders_and_the_bus_goes_on_afterwards(
    tmp_path: Path, mode: int, target: Path | None, why: str
) -> None:
    ids = ["x", "y", "z"]
    async with bus_on(tmp_path) as bus:
        sent = await fill(bus, 0, 100)
        with exchanged(tmp_path / LOG, mode, target):
            for outcome in await _attempted(bus, ids):
                assert isinstance(outcome, StoreUnavailable)
                for part in (str(tmp_path / EVENTS), why, "Nothing was recorded"):
                    assert part in str(outcome)
        await _goes_on(bus, sent, ids)
    await _check_views(tmp_path)


async def test_a_disk_that_makes_nothing_durable_leaves_the_outcome_unknown_and_sending_again_settles_it(
    tmp_path: Path,
) -> None:
    ids = ["x", "y"]
    async with bus_on(tmp_path) as bus:
        sent = await fill(bus, 0, 100)
        with exchanged(tmp_path / LOG, os.O_RDWR, NOTHING):
            for outcome in await _attempted(bus, ids):
                assert isinstance(outcome, OutcomeUnknown)
                assert "same command id" in str(outcome)
        await _goes_on(bus, sent, ids)
    await _check_views(tmp_path)


async def test_a_disk_that_cannot_be_read_is_told_to_who_reads_and_read_again_afterwards(tmp_path: Path) -> None:
    async with bus_on(tmp_path) as bus:
        sent = await fill(bus, 0, 300)
    async with bus_on(tmp_path) as bus:
        # All is in the file itself by now, and almost nothing in memory.
        with exchanged(tmp_path / EVENTS, WITHOUT_READING):
            with pytest.raises(StoreUnavailable, match="refuses to read or write; mend that") as caught:
                async for _ in bus.events():
                    pass
            assert str(tmp_path / EVENTS) in str(caught.value)
            with pytest.raises(StoreUnavailable, match="Nothing was recorded"):
                await bus.send(Fill("j-0", [1, 2]), command_id="x")
        await _goes_on(bus, sent, ["x"])


async def test_views_that_cannot_be_written_wait_and_keep_nobody_from_recording(tmp_path: Path) -> None:
    async with bus_on(tmp_path) as bus:
        sent = await fill(bus, 0, 100)
        await bus.wait_settled()
        with exchanged(tmp_path / f"{VIEWS}-wal", WITHOUT_WRITING):
            sent += await fill(bus, 100, 100)
            with pytest.raises(ProjectionTimeout, match="is recorded"):
                await bus.wait_projected(sent[-1].receipt, timeout=0.2)
            assert all("refuses to read or write" in str(one.last_error) for one in bus.statistics().projections)
        await bus.wait_settled()
        await check_all_there(bus, sent)
    await _check_views(tmp_path)


@pytest.mark.parametrize("file", [EVENTS, LOG, VIEWS, f"{VIEWS}-wal"])
async def test_a_bus_that_closes_on_a_disk_that_takes_no_writes_loses_nothing(tmp_path: Path, file: str) -> None:
    async with bus_on(tmp_path) as bus:
        sent = await fill(bus, 0, 100)
        faulty = exchanged(tmp_path / file, WITHOUT_WRITING)
        faulty.__enter__()
    faulty.__exit__(None, None, None)
    async with bus_on(tmp_path) as bus:
        await check_all_there(bus, sent)
        await bus.wait_settled()
    await _check_views(tmp_path)


def test_a_worker_on_a_full_disk_answers_every_line_and_goes_on_with_room(tmp_path: Path) -> None:
    line = {"type": "fill", "jar": "a", "marbles": [1] * 50}
    arguments = ("--app", "tests.crashes.jars:JARS", "--store", f"sqlite:///{EVENTS}")
    with worker(*arguments, folder=tmp_path) as running:
        running.write({**line, "command_id": "first"})
        assert "receipt" in running.answer()
        # No file may grow beyond what this one has: the system refuses such a write as it does on a full disk.
        _, hard = resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE, (size(tmp_path / LOG), hard))
        codes = [_answer(running, {**line, "command_id": f"{number}"}).get("error", {}).get("code") for number in "012"]
        assert codes == ["store-unavailable"] * 3
        resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE, (hard, hard))
        for command_id, is_known in (("first", True), ("0", False), ("1", False)):
            assert _answer(running, {**line, "command_id": command_id})["receipt"]["duplicate"] is is_known
        code, said = running.finish()
    assert code == 0
    assert "Traceback" not in said


def _answer(running: Worker, line: dict[str, Any]) -> dict[str, Any]:
    running.write(line)
    return running.answer()


async def test_what_was_exchanged_is_put_back(tmp_path: Path) -> None:
    with (tmp_path / "x").open("w+b", buffering=0) as file:
        assert descriptors_of(tmp_path / "x") == [file.fileno()]
        with exchanged(tmp_path / "x", WITHOUT_WRITING), pytest.raises(OSError, match="Bad file descriptor"):
            os.write(file.fileno(), b"lost")
        with exchanged(tmp_path / "x", os.O_RDWR, FULL), pytest.raises(OSError, match="No space left"):
            os.write(file.fileno(), b"lost")
        with exchanged(tmp_path / "x", WITHOUT_READING), pytest.raises(OSError, match="Bad file descriptor"):
            os.read(file.fileno(), 1)
        with exchanged(tmp_path / "x", os.O_RDWR, NOTHING):
            os.write(file.fileno(), b"lost")
            with pytest.raises(OSError, match="Invalid argument"):
                os.fdatasync(file.fileno())
        os.write(file.fileno(), b"kept")
    assert (tmp_path / "x").read_bytes() == b"kept"
