"""World: what outlives a simulated process: the disk's content, the truth about it, chance, and what was said."""

import asyncio
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from random import Random
from typing import Any, TypeVar

import anyio
import msgspec

from bus.core.application import Application
from bus.core.builds import ANSWERING, answering
from bus.core.limits import Limits
from bus.core.messages import Command, Recorded
from bus.core.projection import PARK, Projection
from bus.core.stored import Append, Appended, Checkpoint, Claim, NewEvent, ViewChanges, ViewTable
from bus.memory import MemoryEventStore, MemoryViewStore
from bus.testing.simulation.asking import Questions, at_once
from bus.testing.simulation.epochs import Epochs
from bus.testing.simulation.faults import Faults, short_grace, short_leases, tight_limits
from bus.testing.simulation.history import History
from bus.testing.simulation.loop import SimulatedLoop
from bus.testing.simulation.model import Model, ViewModel, Violated
from bus.testing.simulation.parking_model import ParkingModel
from bus.testing.simulation.rebuilding_model import BuildModels, check_drop, check_switch, held, titled

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
        earlier: Application | None = None,
    ) -> None:
        self.application = application
        self.earlier = earlier
        """The release before, with which the first lives run."""
        self.schedule = Random(f"{seed} schedule")
        self.chance = Random(f"{seed} faults")
        self.wishes = Random(f"{seed} workload")
        self.history = History(seed)
        self.model = Model(application)
        self.builds = BuildModels(application, self.model.events, view_model)
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
        self.rebuilding = Random(f"{seed} rebuilding")
        self.is_rebuilt = self.rebuilding.random() < faults.rebuilds
        """Whether somebody has projections rebuilt now and then."""
        if self.is_rebuilt or earlier is not None:
            self.limits = short_grace(self.rebuilding, self.limits)
        # Projections of which somebody has asked to drop a build.
        self.drops_asked: set[str] = set()
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
        self.questions = Questions(application, self.limits)
        self._invariants = invariants
        self._poison = Random(f"{seed} poison")
        self._poisons: dict[tuple[str, int, str], int] = {}
        """How often each event will fail still, by projection, position and key."""
        # What was done to the view store, in order; each does it again.
        self._written: list[Callable[[], object]] = []
        self._raised: dict[object, int] = {}
        """How often each projector, by its task, was made to raise since it last committed."""
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
        projector = asyncio.current_task()
        if self._raised.get(projector, 0) < 2 and self.happens(self.faults.projection_raises):
            self._raised[projector] = self._raised.get(projector, 0) + 1
            self.history.note("projection raises", name)
            raise Broken("a bug that comes and goes")

    def projected(self) -> None:
        """The current task, which is a projector's, has committed views."""
        self._raised.pop(asyncio.current_task(), None)

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
        if self._written and not self.views.shared and self.happens(self.faults.views_rolled_back):
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
        command_id = f"foreign-{sum(one.startswith('foreign-') for one in self.sent) + 1}"
        self.sent[command_id] = [command]
        codecs = [self.application.schema.by_type[type(event)] for event in decision.events]
        new = tuple([NewEvent(one.name, one.encode(event)) for one, event in zip(codecs, decision.events, strict=True)])
        self.history.note("foreign", f"{stream} from version {last.number}")
        self.append([Append(stream, last.number, new, command_id, command)], recorded_at)

    def prepare(self, tables: Sequence[ViewTable]) -> Mapping[ViewTable, Checkpoint]:
        """Makes room for these tables."""
        if new := [table for table in tables if table.place not in held(at_once(self.views.builds()))]:
            self._written.append(lambda: at_once(self.views.prepare(new)))
        return at_once(self.views.prepare(tables))

    def build_views(self, table: ViewTable, since: datetime) -> None:
        """Makes room for a table beside another one."""
        self._written.append(lambda: at_once(self.views.build(table, since)))
        at_once(self.views.build(table, since))
        self.history.note("build", titled(table))

    def switch_views(self, table: ViewTable, epoch: int, over: ViewTable, since: datetime, life: str) -> bool:
        """Lets a table answer, where the store would, and looks whether it may."""
        before = held(at_once(self.views.builds()))
        done = at_once(self.views.switch(table, epoch, over, since))
        self.history.note("switch", f"to {titled(table)} from {titled(over)}{'' if done else ' refused'}")
        if done:
            self._written.append(lambda: at_once(self.views.switch(table, epoch, over, since)))
            try:
                if check_switch(before, held(at_once(self.views.builds())), table) and self.views.shared:
                    self.epochs.committed(table, epoch, life)
            except Violated as error:
                self.fail(str(error))
        return done

    def drop_views(self, table: ViewTable, now: datetime) -> bool:
        """Drops a table, where the store would, and looks whether it may."""
        before = held(at_once(self.views.builds()))
        done = self._drop_now(table)
        self.history.note("drop", f"{titled(table)}{'' if done else ' refused'}")
        if done:
            self._written.append(lambda: self._drop_now(table))
            is_asked = table.projection in self.drops_asked
            try:
                check_drop(before, table, now, self.limits.replaced_grace_s, is_asked=is_asked)
            except Violated as error:
                self.fail(str(error))
            self.epochs.forget(table)
        return done

    def _drop_now(self, table: ViewTable) -> bool:
        done = at_once(self.views.drop(table))
        if done:
            self.builds.forget(table)
        return done

    def _commit_again(self, table: ViewTable, changes: ViewChanges) -> None:
        at_once(self.views.commit(table, changes))
        self.builds.of(table).commit(changes)

    def claim_views(
        self, tables: Sequence[ViewTable], owner: str, lease_s: float, life: str
    ) -> Mapping[ViewTable, Claim]:
        """Claims tables for a life, and looks at what the store grants."""
        now = anyio.current_time()
        for table in tables:
            held = self.epochs.owner(table)
            if held not in ("", owner) and self.happens(self.faults.lease_lapses):
                self.history.note("lease lapses", titled(table))
                at_once(self.views.claim([table], held, -math.inf))
                self.epochs.lapsed(table)
        claims = at_once(self.views.claim(tables, owner, lease_s))
        if self.views.shared:
            try:
                for table, claim in claims.items():
                    until = now + lease_s if claim.owner == owner else None
                    if self.epochs.claimed(table, claim, life, until, now):
                        self.history.note("lease", f"{titled(table)} epoch {claim.epoch} to {life}")
            except Violated as error:
                self.fail(str(error))
        return claims

    def release_views(self, tables: Sequence[ViewTable], owner: str) -> None:
        """Gives tables up for their owner."""
        at_once(self.views.release(tables, owner))
        for table in tables:
            if self.epochs.owner(table) == owner:
                self.history.note("lease given up", titled(table))
                self.epochs.lapsed(table)

    def commit_views(self, table: ViewTable, changes: ViewChanges, life: str = "") -> bool:
        """Commits views, all at once, and compares them with what the events make."""
        done = at_once(self.views.commit(table, changes))
        places = f"{changes.expected.position}-{changes.checkpoint.position}"
        self.history.note("views", f"{titled(table)} {places}{'' if done else ' refused'}")
        if done:
            self._written.append(lambda: self._commit_again(table, changes))
            self.questions.look(self.views)
            try:
                if self.views.shared:
                    self.epochs.committed(table, changes.epoch, life)
                self._check_views(table, changes)
            except Violated as error:
                self.fail(str(error))
        return done

    def _lose_view_commits(self) -> None:
        """What was done last to the view store, some of it, never reached the disk."""
        kept = max(0, len(self._written) - self.chance.randint(1, KEPT_COMMITS))
        self.history.note("views lost", f"{len(self._written) - kept} commits")
        self._written = self._written[:kept]
        self.views = MemoryViewStore()
        self.builds.clear()
        at_once(self.views.__aenter__())
        for again in self._written:
            again()

    def answering(self) -> dict[str, ViewTable]:
        """By projection, the table that answers."""
        builds = at_once(self.views.builds())
        names = [one.name for one in self.application.projections]
        found = [answering([one for one in builds if one.table.projection == name]) for name in names]
        return {one.table.projection: one.table for one in found if one is not None}

    def checkpoints(self) -> dict[str, Checkpoint]:
        """How far the views have come from which each projection's answers are."""
        builds = held(at_once(self.views.builds()))
        return {name: builds[table.place].checkpoint for name, table in self.answering().items()}

    def checkpoint(self, table: ViewTable) -> int | None:
        """How far a table has come; None where it is no longer there."""
        found = held(at_once(self.views.builds())).get(table.place)
        return None if found is None else found.checkpoint.position

    def holders(self) -> dict[str, str]:
        """The life that the store has granted each projection to last."""
        return self.epochs.holders(self.answering().values())

    def left_to_drop(self) -> list[str]:
        """Builds beside those that answer."""
        answers = {table.place for table in self.answering().values()}
        return [titled(one.table) for one in at_once(self.views.builds()) if one.table.place not in answers]

    def check_views(self) -> None:
        """At the end all views are what all events make; raises `Violated`."""
        builds = at_once(self.views.builds())
        self.builds.check_end(builds, self.model.head, lambda table: at_once(_all_rows(self.views, table)))
        for one in builds:
            left = at_once(self.views.parked(one.table))
            if left and one.state == ANSWERING:
                raise Violated(f"{titled(one.table)} still has letters, although all was mended: {left}")

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
        model = self.builds.of(table)
        if changes.checkpoint.position > self.model.head:
            raise Violated(f"the views of {titled(table)} are ahead of the store: {changes.checkpoint}")
        keys = model.commit(changes)
        keys |= {view.key for view in changes.put} | set(changes.removed)
        held = at_once(self.views.load(table, sorted(keys)))
        for key in sorted(keys):
            if held.get(key) != model.rows.get(key):
                raise Violated(
                    f"view {key!r} of {titled(table)} is {held.get(key)!r} at position "
                    f"{changes.checkpoint.position}, but the events up to there make {model.rows.get(key)!r}"
                )


def view_model(projection: Projection[Any, Any], events: Sequence[Recorded[Any]]) -> ViewModel:
    """What is held against the views of a projection."""
    return (ParkingModel if projection.on_poison is PARK else ViewModel)(projection, events)


async def _all_rows(views: MemoryViewStore, table: ViewTable) -> Sequence[bytes]:
    async with views.snapshot() as reader:
        return [payload for _, payload in await reader.find(table, {}, None, False, 1_000_000)]


def _refusals(appended: Appended) -> list[str]:
    return [f"{index} {type(refusal).__name__}" for index, refusal in appended.refused.items()]
