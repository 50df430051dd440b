"""Damaged SQLite files: what is read of them is right or a clear error, and nothing acknowledged is lost elsewhere."""

import random
import shutil
from collections.abc import Sequence
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from adapters.sqlite import SqliteEventStore, SqliteViewStore
from bus import Bus, BusError, Event, NotRecorded, Recorded, StoreNotReadable, StoreUnavailable, Unreadable, Unusable
from tests.adapters.cli.processes import doubledecker
from tests.adapters.cli.workers import worker
from tests.adapters.sqlite.files import fetch, raw
from tests.crashes.audit import audit_views
from tests.crashes.jars import JARS, Fill
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

PAGE_BYTES = 4_096
HEADER_BYTES = 100
UNUSED = (*range(32, 40), *range(64, 68))
"""Which pages are free, and how their number is kept small: there are none, and nobody acts on what is said there."""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Whole:
    """A store in order, which tests copy and damage."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sent: list[Sent] = []
        self.recorded: list[Recorded[Event]] = []
        anyio.run(self._make)
        self.bytes = (folder / EVENTS).read_bytes()
        with raw(folder / EVENTS) as connection:
            unread = "SELECT rootpage FROM sqlite_schema WHERE tbl_name = 'snapshots'"
            self.unread = {page - 1 for (page,) in connection.execute(unread)}
        """Pages that nobody needs: no decider of this application keeps snapshots."""

    async def _make(self) -> None:
        async with bus_on(self.folder) as bus:
            for first in range(0, 300, 50):
                self.sent += await fill(bus, first, 50)
            self.recorded = [one async for one in bus.events()]
            await bus.wait_settled()

    def copy(self, to: Path) -> Path:
        shutil.rmtree(to, ignore_errors=True)
        shutil.copytree(self.folder, to)
        return to


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    return Whole(tmp_path_factory.mktemp("whole"))


async def _use(bus: Bus, whole: Whole) -> list[BusError]:
    """Reads and writes all over the store; returns the errors, and fails where an answer is wrong."""
    errors: list[BusError] = []
    try:
        assert [one async for one in bus.events()] == whole.recorded
    except BusError as error:
        errors.append(error)
    for one in whole.sent[::37]:
        try:
            receipt = await bus.send(one.command, command_id=one.command_id)
            assert (receipt.position, receipt.duplicate) == (one.receipt.position, True)
        except BusError as error:
            errors.append(error)
    for command in (Fill("j-1", [1]), Fill("new", [1])):
        try:
            await bus.send(command)
        except BusError as error:
            errors.append(error)
    return errors


async def _open_and_use(folder: Path, whole: Whole) -> list[BusError]:
    try:
        async with bus_on(folder, WRITE_SIDE) as bus:
            return await _use(bus, whole)
    except BusError as error:
        return [error]


def _check_clear(errors: Sequence[BusError], folder: Path) -> None:
    for error in errors:
        assert isinstance(error, StoreUnavailable | StoreNotReadable), error
        for part in (str(folder / EVENTS), "damaged", "backup", ".recover"):
            assert part in str(error)


@pytest.mark.parametrize("garbage", [b"\xff", b"\0", b"x"])
async def test_a_page_that_is_overwritten_is_told_and_put_back_nothing_is_lost(
    whole: Whole, tmp_path: Path, garbage: bytes
) -> None:
    pages = len(whole.bytes) // PAGE_BYTES
    assert pages > 15
    for page in range(pages):
        folder = whole.copy(tmp_path / "x")
        start, end = page * PAGE_BYTES + (HEADER_BYTES if page == 0 else 0), (page + 1) * PAGE_BYTES
        overwrite(folder / EVENTS, start, garbage * (end - start))
        errors = await _open_and_use(folder, whole)
        assert errors or page in whole.unread, f"nobody noticed that page {page + 1} is no more"
        _check_clear(errors, folder)
        overwrite(folder / EVENTS, start, whole.bytes[start:end])
        async with bus_on(folder) as bus:
            await check_all_there(bus, whole.sent)
            await bus.wait_settled()


async def test_any_byte_of_the_header_is_without_meaning_or_refused(whole: Whole, tmp_path: Path) -> None:
    refused = 0
    for at in range(HEADER_BYTES):
        folder = whole.copy(tmp_path / "x")
        overwrite(folder / EVENTS, at, bytes([whole.bytes[at] ^ 0xFF]))
        errors = await _open_and_use(folder, whole)
        for error in errors:
            assert isinstance(error, StoreUnavailable | StoreNotReadable), (at, error)
            assert str(folder / EVENTS) in str(error)
        refused += bool(errors)
        if not errors and at not in UNUSED:
            assert fetch(folder / EVENTS, "PRAGMA integrity_check") == [("ok",)], at
    assert refused > 25


@pytest.fixture
def chance() -> random.Random:
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    return random.Random(seed)


async def test_a_flipped_bit_anywhere_is_never_worse_than_an_error_of_the_bus(
    whole: Whole, tmp_path: Path, chance: random.Random
) -> None:
    told = 0
    for _ in range(150):
        folder = whole.copy(tmp_path / "x")
        at = chance.randrange(HEADER_BYTES, len(whole.bytes))
        overwrite(folder / EVENTS, at, bytes([whole.bytes[at] ^ 1 << chance.randrange(8)]))
        try:
            errors = await _open_and_use(folder, whole)
        except AssertionError:
            # SQLite has no checksums: a digit that became another one is an answer as good as any.
            continue
        told += bool(errors)
        assert all(isinstance(one, NotRecorded | Unusable | Unreadable) for one in errors), (at, errors)
    assert told > 10


async def test_a_store_cut_off_is_refused(whole: Whole, tmp_path: Path) -> None:
    for length in (HEADER_BYTES, PAGE_BYTES, 5 * PAGE_BYTES, len(whole.bytes) - 1):
        folder = whole.copy(tmp_path / "x")
        (folder / EVENTS).write_bytes(whole.bytes[:length])
        errors = await _open_and_use(folder, whole)
        assert [type(error) for error in errors] == [StoreNotReadable]
        _check_clear(errors, folder)
        assert size(folder / EVENTS) == length


async def test_damaged_views_are_told_and_removed_they_are_made_again(whole: Whole, tmp_path: Path) -> None:
    folder = whole.copy(tmp_path / "x")
    for (page,) in fetch(
        folder / VIEWS, "SELECT rootpage FROM sqlite_schema WHERE name LIKE 'view_%_jars_%' AND type='table'"
    ):
        overwrite(folder / VIEWS, (page - 1) * PAGE_BYTES, b"\xff" * PAGE_BYTES)
    async with bus_on(folder) as bus:
        # The events are none the worse for it.
        await check_all_there(bus, whole.sent)
        assert await bus.send(Fill("j-1", [1]))
        with anyio.fail_after(5):
            while not (error := bus.statistics().projections[0].last_error):
                await anyio.lowlevel.checkpoint()
        assert "remove their files, and they are made again" in error
    remove(folder, VIEWS)
    async with bus_on(folder) as bus:
        await bus.wait_settled()
    async with SqliteEventStore(folder / EVENTS) as store:
        events = await store.page(0, 9_999)
    ends = await audit_views(JARS, events, SqliteViewStore(folder / VIEWS))
    assert ends == {"jars": len(events), "shelves": len(events), "rows": len(events)}


def _without(position: int, whole: Whole, folder: Path) -> Path:
    """A copy of which the page with that event cannot be read."""
    whole.copy(folder)
    marbles = f'"weight":{whole.recorded[position - 1].event.weight},'.encode()  # type: ignore[attr-defined]
    # The last, since a page that was full keeps what went on to the next one.
    page = whole.bytes.rindex(marbles) // PAGE_BYTES
    overwrite(folder / EVENTS, page * PAGE_BYTES, b"\xff" * 8)
    return folder / EVENTS


def test_the_export_of_a_damaged_store_ends_with_a_message(whole: Whole, tmp_path: Path) -> None:
    events = _without(300, whole, tmp_path / "x")
    ended = doubledecker("export", "--store", f"sqlite:///{events}")
    assert ended.returncode == 1
    assert ended.stderr.startswith(
        f"doubledecker: sqlite:///{events} is unavailable (database disk image is malformed)"
    )
    assert ended.stderr.count("\n") == 1
    overwrite(events, PAGE_BYTES, b"\xff" * PAGE_BYTES)
    ended = doubledecker("export", "--store", f"sqlite:///{events}")
    assert ended.returncode == 2
    assert "is damaged" in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_a_worker_on_a_damaged_store_answers_for_what_it_can_read(whole: Whole, tmp_path: Path) -> None:
    events = _without(300, whole, tmp_path / "x")
    stream = whole.recorded[299].stream_id
    arguments = ("--app", "tests.crashes.sqlite_files:WRITE_SIDE", "--store", f"sqlite:///{events}")
    with worker(*arguments, folder=tmp_path) as running:
        for jar, expected in ((stream, "error"), ("new", "receipt"), (stream, "error")):
            running.write({"type": "fill", "jar": jar, "marbles": [1]})
            answer = running.answer()
            if expected == "error":
                assert answer["error"]["code"] == "store-unavailable"
                assert "damaged" in answer["error"]["message"]
            assert expected in answer
        assert running.finish() == (0, "")


@pytest.mark.parametrize(("page", "code"), [(2, 2), (None, 1)], ids=["what names it", "its last event"])
def test_a_worker_whose_store_is_damaged_where_it_is_opened_says_so(
    whole: Whole, tmp_path: Path, page: int | None, code: int
) -> None:
    events = _without(len(whole.recorded), whole, tmp_path / "x")
    if page is not None:
        overwrite(events, (page - 1) * PAGE_BYTES, b"\xff" * PAGE_BYTES)
    with worker("--app", "tests.crashes.jars:JARS", "--store", f"sqlite:///{events}", folder=tmp_path) as running:
        ended, said = running.finish()
    assert (ended, said.count("\n")) == (code, 1)
    assert str(events) in said
    assert "is damaged" in said
