"""Clients: the senders of a simulated history, who do what chance tells them."""

import math
from collections.abc import Callable
from contextlib import aclosing
from random import Random
from typing import Any

import anyio
import msgspec

from bus.bus import Bus
from bus.core.errors import (
    BusClosed,
    BusError,
    NotProjected,
    Parked,
    ProjectionStopped,
    QueryError,
    StoreUnavailable,
    ViewsDropped,
)
from bus.core.letters import Action
from bus.core.messages import Command, Query, Receipt
from bus.core.projection import PARK
from bus.core.stored import ViewTable
from bus.testing.simulation.asking import spoil
from bus.testing.simulation.history import shown
from bus.testing.simulation.model import Violated
from bus.testing.simulation.operations import Operation, Operations
from bus.testing.simulation.rebuilding_model import titled
from bus.testing.simulation.world import World

Workload = Callable[[Random], Command | Query[Any]]
"""Draws the next message from chance, and from nothing else."""

BULK_MAX = 4

UNANSWERED = (NotProjected, StoreUnavailable, QueryError, ViewsDropped)
"""What a query may be refused with."""


class CountedIds:
    """Ids in order, for commands whose sender names none; whose id it is is told as it is made."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._count = 0

    def new(self) -> str:
        self._count += 1
        made = f"id-{self._count}"
        self._tell(made)
        return made


class Life(msgspec.Struct, eq=False):
    """One opening of a bus, as its senders see it."""

    number: int
    """In the order in which a history's lives began."""
    bus: Bus
    checkpoints_read: Callable[[], dict[str, int]] = dict
    """By projection, the checkpoint of the views that the current task's last query read."""
    name: str = ""
    """Where there are several processes at a time: which one, and how often it has begun."""
    is_closing: bool = False
    """Whether it ends in order while senders are at work."""
    resumed_at: float = -math.inf
    """When its process went on last after it had stood still: nobody is answered while it does."""
    is_earlier: bool = False
    """Whether it runs the release before."""
    tables: Callable[[], dict[str, ViewTable]] = dict
    """By projection, the table that it answers from."""
    told: dict[str, int] = msgspec.field(default_factory=dict[str, int])
    """By projection, the position that some answer has told already."""
    forget: Callable[[], object] = lambda: None
    """Lets go of its commands when it is over, whose circles no collector of garbage sees."""


class Clients:
    """Draws what is sent, sends it, and has every answer checked. One object serves a whole history."""

    def __init__(self, world: World, workload: Workload, commands: int) -> None:
        self._world = world
        self._workload = workload
        self.left = commands
        """Messages still to be sent."""
        self._number = 0
        self._waiting: dict[int, Operation] = {}
        """Called and not answered: what a crash leaves so is sent again by somebody."""
        self._calling: Operation | None = None
        """Whose id is made next: a call of `send` makes it before it waits for anything."""
        self._known: list[tuple[str, Command]] = []
        """Commands under an id of their own, which may be sent again."""
        self._receipt: Receipt | None = None
        """The last one that anybody got, of one process in this life, of several in any."""
        self.operations = Operations(world.model, conflict_attempts_max=world.limits.conflict_attempts_max)
        self.ids = CountedIds(self._identified)
        self.parking = [one.name for one in world.application.projections if one.on_poison is PARK]
        """Projections whose letters somebody retries, too."""
        self.cached = frozenset(world.application.answers_max)
        """Queries whose answers are checked, and which somebody watches, too."""

    @property
    def is_done(self) -> bool:
        """Whether everything was sent."""
        return self.left <= 0

    def draw_command(self) -> Command:
        """The next command of the workload, for a writer that is none of these clients."""
        for _ in range(1_000):
            message = self._workload(self._world.chance)
            if isinstance(message, Command):
                return message
        raise ValueError("the workload draws no commands")

    def crash(self, life: Life) -> None:
        """That life is over: nobody will answer what it was asked."""
        gone = [one for one in self._waiting.values() if one.life == life.number]
        for operation in gone:
            del self._waiting[operation.number]
            if operation.is_named:
                self._known += [(operation.command_id, operation.command)] * 2
        if self._world.buses == 1:
            self._receipt = None
        self.operations.crash(life.number)
        self._world.questions.forget(life.number)

    async def run(self, life: Life) -> None:
        """One sender: one message after the other, until all are sent or the bus is closed."""
        wishes = self._world.wishes
        try:
            while self.left > 0:
                self.left -= 1
                await anyio.sleep(wishes.choice([0, 0, 0, 0.001, 0.02, 0.4]))
                message = self._workload(wishes)
                if self.parking and wishes.random() < 0.05:
                    await self._retry(life)
                if self._world.is_rebuilt and self._world.rebuilding.random() < 0.04:
                    await self._rebuild(life)
                if isinstance(message, Query) and type(message) in self.cached:
                    await (self._watch if wishes.random() < 0.3 else self._ask_cached)(life, message)
                elif isinstance(message, Query):
                    await self._ask(life, message)
                elif wishes.random() < 0.06:
                    await self._send_many(life, message)
                else:
                    await self._send(life, message)
        except BusClosed as error:
            if not life.is_closing:
                self._world.fail(f"a sender was told that the bus is closed, which it is not: {error}")
        except Violated as error:
            self._world.fail(str(error))
        except Exception as error:
            self._world.fail(f"a sender got {error!r}")

    async def _send(self, life: Life, command: Command) -> None:
        faults, wishes = self._world.faults, self._world.wishes
        command_id, command = self._identify(command)
        expected = None
        if wishes.random() < faults.expecting:
            versions = self._world.model.versions(self._world.model.stream_of(command))
            expected = max(0, versions[-1].number - wishes.choice([0, 0, 1]))
        timeout = wishes.choice([0.001, 0.05]) if wishes.random() < faults.hurried else None
        patience = wishes.choice([0.0, 0.001, 0.1]) if wishes.random() < faults.cancelled else None
        operation = self._begin(life, command, command_id, expected, timeout)
        outcome: Receipt | BusError | None = None
        with anyio.CancelScope(deadline=float("inf") if patience is None else anyio.current_time() + patience):
            try:
                outcome = await life.bus.send(
                    command, command_id=command_id, expected_version=expected, timeout=timeout
                )
            except BusError as error:
                outcome = error
        self._end(life, operation, outcome)
        if isinstance(outcome, BusClosed):
            raise outcome
        if isinstance(outcome, Receipt) and wishes.random() < 0.1:
            await self._wait(life, outcome)

    def _identify(self, command: Command) -> tuple[str | None, Command]:
        """The command and its id: a new one, one that was used before, or none."""
        faults, wishes = self._world.faults, self._world.wishes
        if self._known and wishes.random() < faults.duplicate:
            if self._world.buses > 1 and wishes.random() < 0.5:
                # Perhaps another bus is still at it.
                return wishes.choice(self._known[-4:])
            return wishes.choice(self._known)
        if self._known and wishes.random() < faults.reused:
            return wishes.choice(self._known)[0], command
        if wishes.random() < 0.3:
            return None, command
        return self._new_id(command), command

    def _new_id(self, command: Command) -> str:
        command_id = f"c{self._number + 1}"
        self._known.append((command_id, command))
        return command_id

    async def _send_many(self, life: Life, first: Command) -> None:
        """Several at a time; those to one aggregate are decided in their order."""
        commands = [first, *[self._command(first) for _ in range(self._world.wishes.randrange(BULK_MAX))]]
        operations = [self._begin(life, command, self._new_id(command), None, None) for command in commands]
        outcomes = await life.bus.send_many(commands, command_ids=[one.command_id for one in operations])
        versions: dict[str, int] = {}
        for operation, outcome in zip(operations, outcomes, strict=True):
            self._end(life, operation, outcome, in_time=False)
            if isinstance(outcome, Receipt) and outcome.events and not outcome.duplicate:
                if outcome.version <= versions.get(outcome.stream, 0):
                    raise Violated(f"command {operation.number} of a `send_many` was decided before an earlier one")
                versions[outcome.stream] = outcome.version

    def _command(self, other: Command) -> Command:
        message = self._workload(self._world.wishes)
        return message if isinstance(message, Command) else other

    def _begin(
        self, life: Life, command: Command, command_id: str | None, expected: int | None, timeout: float | None
    ) -> Operation:
        world = self._world
        self._number += 1
        patience_s = world.limits.send_timeout_s if timeout is None else timeout
        operation = Operation(
            number=self._number,
            command=command,
            command_id=command_id or "",
            is_named=command_id is not None,
            expected_version=expected,
            invoked=world.model.head,
            deadline=anyio.current_time() + patience_s,
            life=life.number,
        )
        self._waiting[operation.number] = operation
        self._calling = operation
        options = "" if expected is None else f" expecting {expected}"
        options += "" if timeout is None else f" within {timeout}"
        world.history.note("send", f"{operation.number} {shown(command)} {command_id or ''}{options}")
        if command_id is not None:
            self._identified(command_id)
        return operation

    def _identified(self, command_id: str) -> None:
        operation = self._calling
        assert operation is not None, "an id is made for a command that is being sent"
        self._calling = None
        operation.command_id = command_id
        self._world.sent.setdefault(command_id, []).append(operation.command)
        self.operations.begin(operation)

    def _end(
        self, life: Life, operation: Operation, outcome: Receipt | BusError | None, *, in_time: bool = True
    ) -> None:
        """An answer came, or the sender gave up."""
        self._waiting.pop(operation.number, None)
        self._calling = None
        history = self._world.history
        if outcome is None:
            history.note("cancelled", f"{operation.number}")
            return
        if isinstance(outcome, Receipt):
            self._receipt = outcome
            told = "duplicate " if outcome.duplicate else ""
            told += f"version {outcome.version}, position {outcome.position}, {len(outcome.events)} events"
            history.note("receipt", f"{operation.number} {told}")
        else:
            history.note(outcome.code, f"{operation.number}")
        late_s = anyio.current_time() - max(operation.deadline, life.resumed_at)
        if in_time and late_s > 1e-6:
            raise Violated(
                f"command {operation.number} was answered {late_s:.4f} s after its deadline, with {outcome!r}"
            )
        self.operations.answer(operation, outcome)

    async def _wait(self, life: Life, receipt: Receipt) -> None:
        """What `wait_projected` promises is in the views when it returns."""
        try:
            await life.bus.wait_projected(receipt, timeout=self._world.wishes.choice([0.1, None]))
        except (NotProjected, StoreUnavailable) as error:
            self._not_projected(life, error)
            return
        self._world.history.note("projected", str(receipt.position))
        for name, table in life.tables().items():
            if (position := self._world.checkpoint(table)) is None:
                # Another process has dropped what this one answers from, which it is yet to find.
                continue
            if position < receipt.position:
                raise Violated(f"wait_projected({receipt.position}) returned, but {titled(table)} is at {position}")
            own = range(receipt.position - len(receipt.events) + 1, receipt.position + 1)
            if any(one in own for waiting in self._world.builds.letters(table).values() for one in waiting):
                raise Violated(f"wait_projected({receipt.position}) returned, but {titled(table)} has parked some")
            life.told[name] = max(life.told.get(name, 0), receipt.position)

    async def _retry(self, life: Life) -> None:
        """Somebody has mended something, or so they think."""
        wishes = self._world.wishes
        name = wishes.choice(self.parking)
        answers = self._world.answering().get(name)
        letters = {} if answers is None else self._world.builds.letters(answers)
        key = wishes.choice([*letters, None])
        try:
            told = await life.bus.retry_dead_letters(name, key=key, timeout=wishes.choice([0.05, 1.0, None]))
        except StoreUnavailable as error:
            self._world.history.note(error.code)
        else:
            self._world.history.note("retry", f"{name} {key} {told.answer}")

    async def _ask(self, life: Life, query: Query[Any]) -> None:
        """A query's answer is read from views that hold at least what it was asked to wait for."""
        after = self._receipt if self._world.wishes.random() < 0.7 else None
        self._world.history.note("query", shown(query))
        told = dict(life.told)
        try:
            await life.bus.query(query, after=after)
        except UNANSWERED as error:
            self._refused(life, query, error)
            return
        read = life.checkpoints_read()
        least = min(read.values(), default=None)
        self._world.history.note("answer", f"at {least}")
        if after is not None and least is not None and least < after.position:
            raise Violated(f"{query} after position {after.position} was answered from views at {least}")
        for name, position in read.items():
            if position < told.get(name, 0):
                raise Violated(f"{query} was answered from {name!r} at {position}, after an answer at {told[name]}")
            life.told[name] = max(position, life.told.get(name, 0))

    async def _rebuild(self, life: Life) -> None:
        """Somebody has views built anew, or thinks better of it."""
        world = self._world
        chance = world.rebuilding
        name = chance.choice([one.name for one in world.application.projections])
        action: Action = chance.choice(["rebuild", "rebuild", "switch", "drop"])
        if action == "drop":
            world.drops_asked.add(name)
        world.history.note(action, f"{name} is asked for")
        try:
            told = await life.bus.ask_projection(name, action, timeout=chance.choice([0.05, 1.0, None]))
        except StoreUnavailable as error:
            world.history.note(error.code)
        else:
            world.history.note("asked", f"{name} {action}: {told.answer}")

    async def _ask_cached(self, life: Life, query: Query[Any]) -> None:
        """An answer that is kept is none that was true only before it was asked for."""
        world = self._world
        after = self._receipt if world.wishes.random() < 0.7 else None
        world.history.note("query", shown(query))
        asked = world.questions.ask(query, life.number, world.views, life.tables)
        try:
            value = await life.bus.query(query, after=after)
        except UNANSWERED as error:
            self._refused(life, query, error)
            return
        finally:
            world.questions.answered(asked)
        world.history.note("answer", str(len(str(value))))
        if after is None:
            asked.check(value, 0)
        else:
            asked.check(value, after.position, range(after.position - len(after.events) + 1, after.position + 1))
        spoil(value)

    async def _watch(self, life: Life, query: Query[Any]) -> None:
        """No answer of a watch is older than the watch, nor than the answer before."""
        world, wishes = self._world, self._world.wishes
        world.history.note("watch", shown(query))
        asked = world.questions.ask(query, life.number, world.views, life.tables)
        position = 0
        try:
            with anyio.move_on_after(wishes.choice([0.0, 0.01, 0.3, 2.0])):
                async with aclosing(life.bus.watch(query)) as answers:
                    async for answer in answers:
                        world.history.note("watched", f"at {answer.position}")
                        asked.check(answer.value, max(position, answer.position))
                        if answer.position < position:
                            raise Violated(f"{query} was answered at {answer.position} after {position}")
                        position = answer.position
                        spoil(answer.value)
                        await anyio.sleep(wishes.choice([0, 0, 0.01, 0.5]))
        except UNANSWERED as error:
            self._refused(life, query, error)
        finally:
            world.questions.answered(asked)

    def _refused(self, life: Life, query: Query[Any], error: BusError) -> None:
        if isinstance(error, QueryError) and error.__cause__ is not None:
            raise Violated(f"{query} failed: {error.__cause__!r}") from error
        if isinstance(error, ViewsDropped) and not life.is_earlier:
            raise Violated(f"{query} was answered by nobody: {error}") from error
        self._not_projected(life, error)

    def _not_projected(self, life: Life, error: BusError) -> None:
        self._world.history.note(error.code)
        builds = self._world.builds
        if isinstance(error, Parked) and not builds.was_parked(error.projection, error.key, error.position):
            raise Violated(f"nothing of the kind was ever parked: {error}")
        if isinstance(error, ProjectionStopped) and not (life.is_closing or life.is_earlier):
            raise Violated(f"a projection stopped, although nothing is wrong with it: {error}")
