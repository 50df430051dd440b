"""Processes that share a store, one of them killed and replaced: the database alone tells that everything is right."""

import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, cast
from uuid import uuid4

import anyio
import msgspec
import pytest

from adapters.postgres import PostgresEventStore
from bus import Bus
from tests.architecture.tree import ROOT
from tests.crashes.audit import EventAudit, audit_views
from tests.crashes.jars import JARS
from tests.crashes.notes import Notes
from tests.crashes.sharing import COMMANDS, PROCESSES, Noted
from tests.crashes.stores import Stores, in_schema
from tests.crashes.worker import LIMITS

PATIENCE_S = 100


class Process:
    """One that shares the store, with notes that outlive it."""

    def __init__(self, stores: Stores, folder: Path, seed: int, number: int) -> None:
        _, url, *_ = stores.arguments
        self._said = folder / f"stderr-{number}"
        with self._said.open("ab") as said:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "tests.crashes.sharing",
                    url,
                    f"{seed}",
                    f"{number}",
                    folder / f"notes-{number}",
                ],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=said,
            )
        self._told = cast(IO[bytes], self._process.stdout)

    def answered(self, count: int) -> None:
        """Returns when it has so many answers."""
        while (line := self._told.readline()) and int(line) < count:
            pass
        assert line, self._words()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        self._told.close()

    def finish(self) -> None:
        for _ in self._told:
            pass
        assert self._process.wait(PATIENCE_S) == 0, self._words()

    def _words(self) -> str:
        return self._said.read_text()[-5_000:]


@contextmanager
def process(stores: Stores, folder: Path, seed: int, number: int) -> Iterator[Process]:
    one = Process(stores, folder, seed, number)
    try:
        yield one
    finally:
        one.kill()


@pytest.mark.timeout(3 * PATIENCE_S)
def test_processes_that_share_a_store_and_die_lose_nothing_and_double_nothing(
    server_urls: list[str], tmp_path: Path
) -> None:
    seed = int(os.environ.get("CRASH_SEED") or random.SystemRandom().randrange(2**32))
    try:
        # All versions have their turn, though not on every run.
        _share(in_schema(server_urls[seed % len(server_urls)], f"sharing_{uuid4().hex}"), tmp_path, seed)
    except BaseException as error:
        error.add_note(f"to send the same commands again: CRASH_SEED={seed}")
        raise


def _share(stores: Stores, folder: Path, seed: int) -> None:
    with ExitStack() as running:
        first, *others = [running.enter_context(process(stores, folder, seed, number)) for number in range(PROCESSES)]
        first.answered(2_000)
        first.kill()
        # What it was not told yet, its successor sends again.
        with process(stores, folder, seed, 0) as successor:
            for one in (*others, successor):
                one.finish()
    anyio.run(_check, stores, [folder / f"notes-{number}" for number in range(PROCESSES)])


async def _check(stores: Stores, paths: list[Path]) -> None:
    notes, counts = _noted(paths)
    print(counts)
    await stores.rest()
    audit = EventAudit()
    await audit.read(stores.events())
    audit.check(notes)
    assert len(notes.acknowledged) + len(notes.rejected) == COMMANDS
    # Views are looked at last: whoever projected before, a bus that is alone brings them to the end.
    async with Bus(
        JARS, event_store=PostgresEventStore(stores.arguments[1]), view_store=stores.views(), limits=LIMITS
    ) as bus:
        await bus.wait_settled(timeout=60)
    positions = await audit_views(JARS, audit.events, stores.views())
    assert set(positions.values()) == {len(audit.events)}, f"the views did not come to the end: {positions}"
    assert counts["conflict-exhausted"] == sum(counts[code] for code in counts if "-" in code), "nothing else may fail"
    assert counts["told by two processes"] > 100
    assert counts["duplicates"] > 1_000


def _noted(paths: list[Path]) -> tuple[Notes, Counter[str]]:
    """What all processes were told, which must fit together."""
    notes, counts, recorders = Notes(), Counter[str](), Counter[str]()
    for path in paths:
        told = [msgspec.json.decode(line, type=Noted) for line in path.read_bytes().splitlines()]
        counts["told by two processes"] += len({one.command_id for one in told} & notes.acknowledged.keys())
        for one in told:
            counts.update(one.failures)
            counts["duplicates"] += one.duplicate
            if one.receipt is None:
                notes.rejected.add(one.command_id)
                continue
            recorders[one.command_id] += not one.duplicate
            first = notes.acknowledged.setdefault(one.command_id, one.receipt)
            assert one.receipt == first, "the same command has another place in another process"
    assert not notes.rejected & notes.acknowledged.keys()
    twice = [command_id for command_id, times in recorders.items() if times > 1]
    assert not twice, f"recorded twice: {twice}"
    return notes, counts
