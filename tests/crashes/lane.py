"""Lane: one pair of stores through many lives of its worker, each ended by SIGKILL at a moment drawn from a seed."""

import random
from pathlib import Path

import anyio
import msgspec

from tests.crashes import worker
from tests.crashes.audit import EventAudit, audit_views
from tests.crashes.jars import JARS
from tests.crashes.life import Life, Moment
from tests.crashes.load import Load
from tests.crashes.notes import Notes
from tests.crashes.nursery import Nursery
from tests.crashes.stores import NewStores

LIVES_PER_AUDIT = 5
LIVES_PER_VIEW_AUDIT = 10

MAY_SAY = ("leases cannot be renewed", "leases are left to lapse")
"""On a machine that has much else to do, a third of a second is not always enough to renew a lease."""


class Tally(msgspec.Struct):
    """What the kills of a lane hit."""

    kills: int = 0
    busy: int = 0
    """With lines in flight."""
    behind: int = 0
    """With events recorded that the views did not show yet, of the kills after which that was looked at."""
    before_commit: int = 0
    """After which a command that was sent was found not to be recorded."""
    between_commit_and_answer: int = 0
    """After which a command that was not acknowledged was found to be recorded."""
    acknowledged: int = 0
    duplicates: int = 0
    events: int = 0


class Lane:
    """Kills as often as asked, then lets a last worker finish."""

    def __init__(self, new_stores: NewStores, folder: Path, seed: int) -> None:
        folder.mkdir()
        self._folder = folder
        self._stores = new_stores(folder)
        self._chance = random.Random(seed)
        self._notes = Notes()
        self._load = Load(self._notes, self._chance)
        self._audit = EventAudit()
        self._opening_s = 0.05
        """How long a worker takes to its first answer."""
        self.tally = Tally()

    def run(self, kills: int) -> Tally:
        """Raises `AssertionError` where a promise is broken."""
        try:
            with worker.nursery() as nursery:
                for number in range(1, kills + 1):
                    self._live_and_die(nursery)
                    if number % LIVES_PER_AUDIT == 0:
                        anyio.run(self._look, number % LIVES_PER_VIEW_AUDIT == 0)
                self._finish(nursery)
        except BaseException as error:
            error.add_note(f"in {self._folder.name}, after {self.tally.kills} kills of {kills}")
            raise
        return self.tally

    def _finish(self, nursery: Nursery) -> None:
        """The last worker is sent all that ever was, and its views settle."""
        with self._life(nursery, 100) as last:
            last.finish(iter([*self._notes.open.values(), *self._notes.lines.values()]))
        assert not self._notes.open
        self._audit = EventAudit()
        positions = anyio.run(self._look, True)
        assert set(positions.values()) == {len(self._audit.events)}, f"the views did not settle: {positions}"
        self.tally.acknowledged = len(self._notes.acknowledged)
        self.tally.duplicates = self._notes.duplicates
        self.tally.events = len(self._audit.events)

    def _live_and_die(self, nursery: Nursery) -> None:
        notes, tally = self._notes, self.tally
        absent, recorded = notes.found_absent, notes.found_recorded
        with self._life(nursery, self._chance.choice([2, 16, 128, 1024])) as life:
            in_flight = life.kill(self._load.life(), self._moment())
            if life.first_answer_s is not None:
                self._opening_s = life.first_answer_s
        tally.kills += 1
        tally.busy += in_flight > 0
        # Which is what the life before left: only this one found it.
        tally.before_commit += notes.found_absent > absent
        tally.between_commit_and_answer += notes.found_recorded > recorded

    def _life(self, nursery: Nursery, in_flight: int) -> Life:
        arguments = ("--app", "tests.crashes.jars:JARS", *self._stores.arguments)
        return Life(nursery, arguments, folder=self._folder, notes=self._notes, in_flight=in_flight, may_say=MAY_SAY)

    def _moment(self) -> Moment:
        chance = self._chance
        match chance.choice(["answers", "bytes", "lines", "later", "later", "later", "opening", "closing"]):
            case "answers":
                return Moment(answers=chance.randrange(1, 300))
            case "bytes":
                return Moment(answer_bytes=chance.randrange(1, 40_000))
            case "lines":
                return Moment(lines=chance.randrange(1, 300))
            case "later":
                return Moment(answers=chance.randrange(1, 200), delay_s=chance.uniform(0, 0.02))
            case "closing":
                return Moment(answers=chance.randrange(1, 300), delay_s=chance.uniform(0, 0.05), is_closing=True)
            case _:
                return Moment(delay_s=chance.uniform(0, 1.1 * self._opening_s))

    async def _look(self, views_too: bool) -> dict[str, int]:
        """The checkpoints of the views, if they are looked at."""
        await self._stores.rest()
        await self._audit.read(self._stores.events())
        self._audit.check(self._notes)
        if not views_too:
            return {}
        positions = await audit_views(JARS, self._audit.events, self._stores.views())
        self.tally.behind += min(positions.values()) < len(self._audit.events)
        return dict(positions)
