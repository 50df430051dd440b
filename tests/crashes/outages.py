"""Outages: a server that is killed, again and again, under a worker that lives on."""

import os
import random
import signal
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import anyio
import msgspec

from tests.crashes import worker
from tests.crashes.audit import EventAudit, audit_views
from tests.crashes.jars import JARS
from tests.crashes.life import Life
from tests.crashes.load import Load
from tests.crashes.notes import NOT_RECORDED, UNKNOWN, Line, Notes
from tests.crashes.nursery import Nursery
from tests.crashes.stores import in_schema
from tests.support.postgres import PostgresServer

MAY_SAY = (
    "append is uncertain",
    "end of the store is unknown",
    "news from other processes are interrupted",
    "projection waits for its store",
    "leases cannot be renewed",
    "builds cannot be looked at",
    "requests cannot be read",
    "views cannot be switched to",
    "leases are left to lapse",
    "projection goes on in another process",
)
"""What a worker tells of an outage; that a projection stopped is none of it."""


class Tally(msgspec.Struct):
    """What the outages of a server hit."""

    outages: int = 0
    acknowledged: int = 0
    not_recorded: int = 0
    """Commands that were refused."""
    unknown: int = 0
    """Commands of which it was not known whether they are recorded."""
    found_recorded: int = 0
    """Those of the unknown that were."""
    found_absent: int = 0
    """And those that were not."""
    behind: int = 0
    """Audits that found the views behind the events."""


class Outages:
    """Takes a server and the folder of its worker."""

    def __init__(self, server: PostgresServer, folder: Path, seed: int) -> None:
        folder.mkdir()
        self._folder = folder
        self._server = server
        self._stores = in_schema(server.url, "outages")
        self._chance = random.Random(seed)
        self._notes = Notes(outages=True)
        self._audit = EventAudit()
        self.tally = Tally()

    def run(self, outages: int) -> Tally:
        """Raises `AssertionError` where a promise is broken."""
        how = "nothing"
        try:
            with worker.nursery() as nursery, self._life(nursery) as life:
                lines = self._lines()
                for _ in range(outages):
                    self._reach(life, lines, self._chance.randrange(1, 500))
                    how = self._chance.choice(["crash", "all", "first", "session"])
                    self._live_through(life, lines, how)
                    self._reach(life, lines, 200)
                    life.rest()
                    anyio.run(self._look)
                    self.tally.outages += 1
                life.finish(iter(list(self._notes.open.values())))
        except BaseException as error:
            error.add_note(f"on {self._folder.name}, after {self.tally.outages} outages of {outages}, the last: {how}")
            raise
        self._finish()
        return self.tally

    def _finish(self) -> None:
        notes = self._notes
        assert not notes.open
        self._audit = EventAudit()
        positions = anyio.run(self._look)
        assert set(positions.values()) == {len(self._audit.events)}, f"the views did not settle: {positions}"
        self.tally.acknowledged = len(notes.acknowledged)
        self.tally.not_recorded, self.tally.unknown = notes.failures[NOT_RECORDED], notes.failures[UNKNOWN]
        self.tally.found_recorded, self.tally.found_absent = notes.found_recorded, notes.found_absent

    def _life(self, nursery: Nursery) -> Life:
        arguments = ("--app", "tests.crashes.jars:JARS", *self._stores.arguments)
        return Life(nursery, arguments, folder=self._folder, notes=self._notes, in_flight=128, may_say=MAY_SAY)

    def _lines(self) -> Iterator[Line]:
        """What failed comes again before anything new."""
        new = Load(self._notes, self._chance).life()
        while True:
            yield self._notes.failed.popleft() if self._notes.failed else next(new)

    def _reach(self, life: Life, lines: Iterator[Line], count: int) -> None:
        """Returns when so many more commands are acknowledged."""
        wanted = len(self._notes.acknowledged) + count
        life.work(lines, lambda: len(self._notes.acknowledged) >= wanted)

    def _live_through(self, life: Life, lines: Iterator[Line], how: str) -> None:
        until = time.monotonic() + self._chance.uniform(0, 0.02)
        life.work(lines, lambda: time.monotonic() >= until)
        away_s = self._chance.choice([0, 0, 0.2, 1.0])
        with ThreadPoolExecutor(1) as thread:
            outage: Future[None] = thread.submit(self._disturb, how, away_s)
            life.work(lines, outage.done)
            outage.result()

    def _disturb(self, how: str, away_s: float) -> None:
        server = self._server
        match how:
            case "session":
                # The server itself then ends all others, and recovers.
                with suppress(ProcessLookupError):
                    os.kill(self._chance.choice(server.sessions()), signal.SIGKILL)
                return
            case "crash":
                server.stop(signal.SIGQUIT)
            case _:
                server.kill(children=how == "all")
        time.sleep(away_s)
        server.start()

    async def _look(self) -> dict[str, int]:
        """The checkpoints of the views."""
        await self._audit.read(self._stores.events())
        self._audit.check(self._notes)
        positions = await audit_views(JARS, self._audit.events, self._stores.views())
        self.tally.behind += min(positions.values()) < len(self._audit.events)
        return dict(positions)
