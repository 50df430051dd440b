"""World: what outlives a simulated process: the disk's content, the truth about it, chance, and what was said."""

import inspect
import math
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import UTC, datetime
from random import Random
from typing import Any, TypeVar

import anyio
import msgspec

from bus.core.application import Application
from bus.core.limits import Limits
from bus.core.messages import Command, Query, Recorded
from bus.core.projection import PARK, Projection
from bus.core.stored import Append, Appended, Checkpoint, Claim, NewEvent, ViewChanges, ViewTable
from bus.memory import MemoryEventStore, MemoryViewStore
from bus.testing.simulation.asking import Asked
from bus.testing.simulation.epochs import Epochs
from bus.testing.simulation.faults import Faults, short_leases, tight_limits
from bus.testing.simulation.history import History
from bus.testing.simulation.loop import SimulatedLoop
from bus.testing.simulation.model import Model, ViewModel, Violated
from bus.testing.simulation.parking_model import ParkingModel

T = TypeVar("T")

EPOCH = datetime(2013, 1, 1, tzinfo=UTC)
LATEST_S = 3.0
"""The latest that a server does what its client has given up."""
KEPT_COMMITS = 4
"""As many of the view store's last commits may be lost at a crash."""

Invariant = Callable[[Model], object]
"""Looks at the model after each append; raises `AssertionError` where something is wrong."""


class Broken(Exception):
    """A store's answer that leaves open what happened."""


class World:
    """Everything but the process."""

    def __init__(
        self,
        application: Application,
        seed: int,
        *,
        faults: Faults,
        limits: Limits,
        invariants: Sequence[Invariant],
        buses: int = 1,
    ) -> None:
        self.application = application
        self.schedule = Random(f"{seed} schedule")
        self.chance = Random(f"{seed} faults")
        self.wishes = Random(f"{seed} workload")
        self.history = History(seed)
        self.model = Model(application, view_model)
        # Each kind of fault is left out of some histories: what hides behind a frequent one is found without it.
        self.faults = faults.drawn(self.chance)
        self.limits = tight_limits(self.chance, limits) if self.chance.random() < faults.tight_limits else limits
        self.buses = buses
        """How many processes there are at a time."""
        self.is_shared = self.chance.random() < faults.shared or buses > 1
        side_by_side = Random(f"{seed} side by side")
        self.appends_at_once = 2 if side_by_side.random() < faults.appends_together else 1
        if self.appends_at_once > 1:
            self.limits = msgspec.structs.replace(self.limits, turn_actors_min=side_by_side.choice([1, 1, 2]))
        if buses > 1:
            sharing = Random(f"{seed} sharing")
            self.faults = faults.drawn_sharing(self.faults, sharing)
            if sharing.random() < faults.tight_limits:
                self.limits = short_leases(sharing, self.limits)
        self.is_calm = False
        """Whether nothing goes wrong any more, so that what can finish does."""
        self.violation: str | None = None
        self.sent: dict[str, list[Command]] = {}
        """The commands that were sent under each id."""
        self.events = MemoryEventStore(shared=True)
        self.events.identity = "simulated"
        self.views = MemoryViewStore(shared=buses > 1)
        self.epochs = Epochs()
        self.late: list[tuple[float, list[Append], datetime]] = []
        """What a server has got and will do at a time to come, whoever still waits for it."""
        self._asked: dict[Asked, None] = {}
        """Questions whose answers are held against the views that are committed meanwhile."""
        self._invariants = invariants
        self._poison = Random(f"{seed} poison")
        self._poisons: dict[tuple[str, int, str], int] = {}
        """How often each event will fail still, by projection, position and key."""
        self._view_commits: list[tuple[ViewTable, ViewChanges]] = []
        self._tables: list[ViewTable] = []
        self._foreign = 0
        self._raised: dict[str, int] = {}
        """How often each projection was made to raise since it last committed."""
        for store in (self.events, self.views):
            at_once(store.__aenter__())

    def happens(self, rate: float) -> bool:
        """Whether chance has it, unless nothing is to go wrong any more."""
        return not self.is_calm and rate > 0 and self.chance.random() < rate

    def fail(self, what: str) -> None:
        """Notes that a promise was broken; the first one is told."""
        if self.violation is None and self.history.is_open:
            self.violation = what
            self.history.note("VIOLATED", what)

    def projection_fails(self, name: str) -> None:
        """Raises, at times, in the place of a projection, but not so often in a row that it has to stop."""
        if self._raised.get(name, 0) < 2 and self.happens(self.faults.projection_raises):
            self._raised[name] = self._raised.get(name, 0) + 1
            self.history.note("projection raises", name)
            raise Broken("a bug that comes and goes")

    def poisons(self, name: str, position: int, key: str) -> None:
        """Raises, in the place of a projection that parks, as often as chance has it for that event and key."""
        place = name, position, key
        if place not in self._poisons:
            attempts = self.limits.projection_attempts_max
            is_poison = self._poison.random() < self.faults.projection_poisons
            self._poisons[place] = self._poison.choice([1, attempts, attempts + 1, 5 * attempts]) if is_poison else 0
        if self._poisons[place] and not self.is_calm:
            self._poisons[place] -= 1
            self.history.note("poison", f"{name} {position} {key}")
            raise Broken("a bug with this event")

    def crash(self, life: str = "") -> None:
        """The process ends as it is."""
        self.history.note("CRASH", life)
        if self._view_commits and not self.views.shared and self.happens(self.faults.views_rolled_back):
            self._lose_view_commits()

    # The disk.

    def append(self, batch: Sequence[Append], recorded_at: datetime) -> Appended:
        """Commits a batch, all at once, and looks at what has become of the store."""
        before = self.model.head
        appended = at_once(self.events.append(batch, recorded_at))
        try:
            added = self.model.record(at_once(self.events.page(before, 1_000_000)))
            self.history.note("commit", f"{len(batch)} entries, {len(added)} events, refused {_refusals(appended)}")
            self._check_decisions(added)
            for invariant in self._invariants:
                if inspect.isawaitable(found := invariant(self.model)):
                    raise TypeError(f"an invariant is a plain function, but {invariant!r} gave {found!r} to wait for")
        except (Violated, AssertionError) as error:
            self.fail(str(error) or "an invariant does not hold")
        except Exception as error:
            # A bus that was told of it would take it for a fault of the store, and try again.
            self.fail(f"an invariant, or the aggregate's code on what was recorded, raised {error!r}")
        return appended

    def append_late(self, loop: SimulatedLoop, batch: Sequence[Append], recorded_at: datetime) -> None:
        """Has a batch appended later, even if the process that sent it is gone by then."""
        late = (loop.time() + self.chance.choice([0.0, 0.01, 0.3, LATEST_S]), list(batch), recorded_at)
        self.late.append(late)
        with loop.within(loop.world):
            loop.call_at(late[0], self._append_now, late)

    def resume_late(self, loop: SimulatedLoop) -> None:
        """A new process has begun; what others had sent is under way all the same."""
        for late in self.late:
            loop.call_at(late[0], self._append_now, late)

    def _append_now(self, late: tuple[float, list[Append], datetime]) -> None:
        self.late.remove(late)
        self.append(late[1], late[2])

    def append_foreign(self, batch: Sequence[Append], draw: Callable[[], Command], recorded_at: datetime) -> None:
        """Another writer's command, decided on what the store holds, to a stream of the batch if chance has one."""
        wanted = {entry.stream for entry in batch}
        command = draw()
        for _ in range(10):
            if self.model.stream_of(command) in wanted:
                break
            command = draw()
        stream = self.model.stream_of(command)
        last = self.model.versions(stream)[-1]
        decision = self.model.decide(command, last.state)
        if not decision.events:
            return
        self._foreign += 1
        command_id = f"foreign-{self._foreign}"
        self.sent[command_id] = [command]
        codecs = [self.application.schema.by_type[type(event)] for event in decision.events]
        new = tuple([NewEvent(one.name, one.encode(event)) for one, event in zip(codecs, decision.events, strict=True)])
        self.history.note("foreign", f"{stream} from version {last.number}")
        self.append([Append(stream, last.number, new, command_id, command)], recorded_at)

    def prepare(self, tables: Sequence[ViewTable]) -> None:
        """Notes which views there are."""
        self._tables.extend([table for table in tables if table not in self._tables])

    def claim_views(
        self, tables: Sequence[ViewTable], owner: str, lease_s: float, life: str
    ) -> Mapping[ViewTable, Claim]:
        """Claims tables for a life, and looks at what the store grants."""
        now = anyio.current_time()
        for table in tables:
            held = self.epochs.owner(table)
            if held not in ("", owner) and self.happens(self.faults.lease_lapses):
                self.history.note("lease lapses", table.projection)
                at_once(self.views.claim([table], held, -math.inf))
                self.epochs.lapsed(table)
        claims = at_once(self.views.claim(tables, owner, lease_s))
        if self.views.shared:
            try:
                for table, claim in claims.items():
                    until = now + lease_s if claim.owner == owner else None
                    if self.epochs.claimed(table, claim, life, until, now):
                        self.history.note("lease", f"{table.projection} epoch {claim.epoch} to {life}")
            except Violated as error:
                self.fail(str(error))
        return claims

    def release_views(self, tables: Sequence[ViewTable], owner: str) -> None:
        """Gives tables up for their owner."""
        at_once(self.views.release(tables, owner))
        for table in tables:
            if self.epochs.owner(table) == owner:
                self.history.note("lease given up", table.projection)
                self.epochs.lapsed(table)

    def commit_views(self, table: ViewTable, changes: ViewChanges, life: str = "") -> bool:
        """Commits views, all at once, and compares them with what the events make."""
        done = at_once(self.views.commit(table, changes))
        places = f"{changes.expected.position}-{changes.checkpoint.position}"
        self.history.note("views", f"{table.projection} {places}{'' if done else ' refused'}")
        if done:
            self._raised.pop(table.projection, None)
            self._view_commits.append((table, changes))
            for asked in self._asked:
                self._look(asked)
            try:
                if self.views.shared:
                    self.epochs.committed(table, changes.epoch, life)
                self._check_views(table, changes)
            except Violated as error:
                self.fail(str(error))
        return done

    def ask(self, query: Query[Any], life: int) -> Asked:
        """A question to a life, until `answered`."""
        asked = Asked(self.application, query, life, self.limits)
        self._asked[asked] = None
        self._look(asked)
        return asked

    def answered(self, asked: Asked) -> None:
        """That question has its last answer, or will have none."""
        self._asked.pop(asked, None)

    def forget_questions(self, life: int) -> None:
        """That life is over, and answers nobody."""
        self._asked = {asked: None for asked in self._asked if asked.life != life}

    def _look(self, asked: Asked) -> None:
        try:
            at_once(asked.look(self.views))
        except AssertionError:
            asked.unknown()

    def _lose_view_commits(self) -> None:
        """The view store's last commits, some of them, never reached the disk."""
        kept = max(0, len(self._view_commits) - self.chance.randint(1, KEPT_COMMITS))
        self.history.note("views lost", f"{len(self._view_commits) - kept} commits")
        self._view_commits = self._view_commits[:kept]
        self.views = MemoryViewStore()
        at_once(self.views.__aenter__())
        at_once(self.views.prepare(self._tables))
        for table, changes in self._view_commits:
            at_once(self.views.commit(table, changes))
        for name, model in self.model.committed.items():
            if isinstance(model, ParkingModel):
                model.begin_again([changes for table, changes in self._view_commits if table.projection == name])

    def checkpoints(self) -> dict[str, Checkpoint]:
        """How far each projection's views have come."""
        found = at_once(self.views.prepare(self._tables))
        return {table.projection: checkpoint for table, checkpoint in found.items()}

    def holders(self) -> dict[str, str]:
        """The life that the store has granted each projection to last."""
        return self.epochs.holders(self._tables)

    def check_views(self) -> None:
        """At the end all views are what all events make; raises `Violated`."""
        checkpoints = self.checkpoints()
        for table in self._tables:
            model = self.model.committed[table.projection]
            if not isinstance(model, ParkingModel):
                model.advance(self.model.head)
            if checkpoints[table.projection].position != self.model.head:
                raise Violated(f"the views of {table.projection!r} end at {checkpoints[table.projection]}")
            rows = at_once(_all_rows(self.views, table))
            if sorted(rows) != sorted(model.rows.values()):
                raise Violated(f"the views of {table.projection!r} are not what the events make")
            if isinstance(model, ParkingModel) and (left := at_once(self.views.parked(table))):
                raise Violated(f"{table.projection!r} still has letters, although all was mended: {left}")

    def _check_decisions(self, added: Sequence[Recorded[Any]]) -> None:
        """What was recorded is what the command decides on the state before it, and nothing else."""
        for command_id in dict.fromkeys([one.command_id for one in added]):
            together = self.model.by_command[command_id]
            before = self.model.versions(together[0].stream)[together[0].version - 1]
            events = tuple([one.event for one in together])
            sent = [one for one in self.sent.get(command_id, ()) if self.model.stream_of(one) == together[0].stream]
            if not any(self.model.decide(one, before.state).events == events for one in sent):
                raise Violated(
                    f"command {command_id!r} recorded {events} in {together[0].stream!r}, which it does not decide "
                    f"on version {before.number}, {before.state}"
                )

    def _check_views(self, table: ViewTable, changes: ViewChanges) -> None:
        model = self.model.committed[table.projection]
        if changes.checkpoint.position > self.model.head:
            raise Violated(f"the views of {table.projection!r} are ahead of the store: {changes.checkpoint}")
        keys = model.commit(changes)
        keys |= {view.key for view in changes.put} | set(changes.removed)
        held = at_once(self.views.load(table, sorted(keys)))
        for key in sorted(keys):
            if held.get(key) != model.rows.get(key):
                raise Violated(
                    f"view {key!r} of {table.projection!r} is {held.get(key)!r} at position "
                    f"{changes.checkpoint.position}, but the events up to there make {model.rows.get(key)!r}"
                )


def view_model(projection: Projection[Any, Any], events: Sequence[Recorded[Any]]) -> ViewModel:
    """What is held against the views of a projection."""
    return (ParkingModel if projection.on_poison is PARK else ViewModel)(projection, events)


async def _all_rows(views: MemoryViewStore, table: ViewTable) -> Sequence[bytes]:
    async with views.snapshot() as reader:
        return [payload for _, payload in await reader.find(table, {}, None, False, 1_000_000)]


def at_once(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    raise AssertionError("the stores in memory wait for nothing")


def _refusals(appended: Appended) -> list[str]:
    return [f"{index} {type(refusal).__name__}" for index, refusal in appended.refused.items()]
