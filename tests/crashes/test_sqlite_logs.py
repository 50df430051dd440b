"""What a crash leaves in SQLite's log, cut off, damaged or gone: no gap, no half command, and never in silence."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from adapters.sqlite import SqliteEventStore
from bus import StoreUnavailable, ViewsMismatch
from tests.adapters.cli.workers import worker
from tests.adapters.sqlite.files import crashed, fetch
from tests.crashes.sqlite_files import (
    EVENTS,
    VIEWS,
    WRITE_SIDE,
    Sent,
    bus_on,
    check_all_there,
    fill,
    overwrite,
    remove,
    size,
)

LOG, SHARED = f"{EVENTS}-wal", f"{EVENTS}-shm"
PAGE_BYTES = 4_096
CUTS = (0.0, 0.1, 0.35, 0.6, 0.9, 0.999)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def _crashed(folder: Path) -> tuple[Path, list[Sent]]:
    """The files of a bus that was killed when it had recorded and projected ten batches, and what it acknowledged."""
    sent: list[Sent] = []
    async with bus_on(folder) as bus:
        for first in range(0, 400, 40):
            sent += await fill(bus, first, 40)
        await bus.wait_settled()
        return crashed(folder), sent


async def _kept(folder: Path, sent: Sequence[Sent]) -> int:
    """How many of the commands a bus without views finds; they are the first ones, and whole."""
    async with bus_on(folder, WRITE_SIDE) as bus:
        recorded = [one async for one in bus.events()]
        assert [one.position for one in recorded] == list(range(1, len(recorded) + 1))
        ids = {one.command_id for one in recorded}
        kept = [one for one in sent if one.command_id in ids]
        assert sum(len(one.receipt.events) for one in kept) == len(recorded)
        await check_all_there(bus, kept)
        assert {one.receipt.position for one in kept} <= set(range(len(recorded) + 1))
        return len(kept)


def _files(folder: Path) -> dict[str, bytes]:
    """What makes the store; what its processes share is made anew by each."""
    return {name: (folder / name).read_bytes() for name in (EVENTS, LOG) if (folder / name).exists()}


async def _refused(folder: Path) -> None:
    before = _files(folder)
    with pytest.raises(ViewsMismatch, match="its storage has lost what it had recorded") as caught:
        await bus_on(folder).__aenter__()
    assert "rebuild them" in str(caught.value)
    assert _files(folder) == before


async def test_what_a_crash_leaves_is_whole(tmp_path: Path) -> None:
    left, sent = await _crashed(tmp_path)
    assert size(left / LOG) > 10 * size(left / EVENTS)
    async with bus_on(left) as bus:
        await check_all_there(bus, sent)


@pytest.mark.parametrize("cut", CUTS)
async def test_a_log_cut_off_keeps_the_first_commands_and_newer_views_are_refused(tmp_path: Path, cut: float) -> None:
    left, sent = await _crashed(tmp_path)
    (left / LOG).write_bytes((left / LOG).read_bytes()[: int(cut * size(left / LOG))])
    await _refused(left)
    shutil.copytree(left, tmp_path / "again")
    kept = await _kept(left, sent)
    assert kept % 40 == 0, "commits are whole or absent"
    assert 0.8 * cut * len(sent) - 40 <= kept < len(sent)
    await _rebuilt(tmp_path / "again", sent, kept)


async def _rebuilt(folder: Path, sent: Sequence[Sent], kept: int) -> None:
    """With other views the bus goes on, and what was lost can be sent again."""
    remove(folder, VIEWS)
    async with bus_on(folder) as bus:
        again = [await bus.send(one.command, command_id=one.command_id) for one in sent]
        assert [one.duplicate for one in again] == [True] * kept + [False] * (len(sent) - kept)
        await bus.wait_settled()


async def test_a_log_damaged_in_the_middle_counts_up_to_there_and_is_left_to_be_recovered(tmp_path: Path) -> None:
    left, sent = await _crashed(tmp_path)
    whole = (left / LOG).read_bytes()
    middle = len(whole) // 2
    overwrite(left / LOG, middle, bytes([whole[middle] ^ 0xFF]))
    (left / SHARED).unlink()
    await _refused(left)
    # The rest of the log is still there: whoever knows the byte has lost nothing.
    overwrite(left / LOG, middle, whole[middle : middle + 1])
    (left / SHARED).unlink()
    async with bus_on(left) as bus:
        await check_all_there(bus, sent)


@pytest.mark.parametrize("shared_too", [False, True])
async def test_a_log_removed_takes_what_was_in_it_and_newer_views_are_refused(tmp_path: Path, shared_too: bool) -> None:
    left, sent = await _crashed(tmp_path)
    log = (left / LOG).read_bytes()
    (left / LOG).unlink()
    if shared_too:
        (left / SHARED).unlink()
    before = (left / EVENTS).read_bytes()
    with pytest.raises(ViewsMismatch, match="rebuild"):
        await bus_on(left).__aenter__()
    assert (left / EVENTS).read_bytes() == before
    remove(left, f"{EVENTS}-")
    (left / LOG).write_bytes(log)
    async with bus_on(left) as bus:
        await check_all_there(bus, sent)


async def test_a_file_of_which_the_end_is_still_in_the_log_is_whole(tmp_path: Path) -> None:
    left, sent = await _crashed(tmp_path)
    # As when the process ends while the log is copied into the file: the first page, which counts the others, is there.
    (left / EVENTS).write_bytes((left / EVENTS).read_bytes()[:-PAGE_BYTES])
    async with bus_on(left) as bus:
        await check_all_there(bus, sent)


async def test_without_the_shared_memory_nothing_is_lost(tmp_path: Path) -> None:
    left, sent = await _crashed(tmp_path)
    (left / SHARED).unlink()
    async with bus_on(left) as bus:
        await check_all_there(bus, sent)
        await bus.wait_settled()


@pytest.mark.parametrize("garbage", [b"\xff", b"\0"])
async def test_shared_memory_that_is_garbage_loses_nothing(tmp_path: Path, garbage: bytes) -> None:
    left, sent = await _crashed(tmp_path)
    (left / SHARED).write_bytes(garbage * size(left / SHARED))
    async with bus_on(left) as bus:
        await check_all_there(bus, sent)


async def test_the_log_of_another_store_is_refused_and_put_away_nothing_is_lost(tmp_path: Path) -> None:
    left, sent = await _crashed(tmp_path)
    (tmp_path / "other").mkdir()
    other, _ = await _crashed(tmp_path / "other")
    async with bus_on(left):
        pass
    shutil.copy(other / LOG, left)
    before = _files(left)
    with worker("--app", "tests.crashes.jars:JARS", "--store", f"sqlite:///{left / EVENTS}", folder=left) as running:
        code, said = running.finish()
    assert (code, said.count("\n")) == (2, 1)
    assert f"{LOG}, belong to different databases" in said
    assert _files(left) == before
    (left / LOG).unlink()
    async with bus_on(left) as bus:
        await check_all_there(bus, sent)


async def test_a_store_that_is_damaged_where_a_bus_opens_it_keeps_its_log(tmp_path: Path) -> None:
    async with bus_on(tmp_path) as bus:
        sent = await fill(bus, 0, 400)
    async with bus_on(tmp_path) as bus:
        sent += await fill(bus, 400, 3)
        left = crashed(tmp_path)
    whole = (left / EVENTS).read_bytes()
    # The root of the events, which three more of them did not change.
    ((page,),) = fetch(tmp_path / EVENTS, "SELECT rootpage FROM sqlite_schema WHERE name = 'events'")
    overwrite(left / EVENTS, (page - 1) * PAGE_BYTES, b"\xff" * PAGE_BYTES)
    before = _files(left)
    with pytest.raises(StoreUnavailable, match="is damaged"):
        await bus_on(left).__aenter__()
    assert _files(left) == before
    (left / EVENTS).write_bytes(whole)
    async with bus_on(left) as bus:
        await check_all_there(bus, sent)


async def test_a_store_that_is_read_beside_the_one_refused_is_read_all_the_same(tmp_path: Path) -> None:
    left, sent = await _crashed(tmp_path)
    (left / LOG).write_bytes((left / LOG).read_bytes()[: size(left / LOG) // 2])
    await _refused(left)
    async with SqliteEventStore(left / EVENTS, read_only=True) as store:
        assert 0 < await store.head() < sent[-1].receipt.position
