"""Bus: what an application opens; it puts the two sides together and takes them apart in order."""

import sys
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import AsyncExitStack
from functools import partial
from threading import get_ident
from types import TracebackType
from typing import Any, Self, TypeVar

import anyio

from bus.arguments import POSITION_MAX, after_of, check_store, no_loop, refuse, refuse_elsewhere, seconds_of
from bus.core.application import Application
from bus.core.batches import AnyProjection
from bus.core.decider import Decider
from bus.core.errors import BusClosed, BusError, DefinitionError, NotRecorded, NotSettled, Overloaded
from bus.core.letters import Action, DeadLetter, Request, letter_place
from bus.core.limits import Limits
from bus.core.messages import Answer, Command, Event, Loaded, Query, Receipt, Recorded, State
from bus.core.names import id_fault, stream_of
from bus.core.statistics import ShutdownReport, Statistics
from bus.memory import MemoryEventStore, MemoryViewStore
from bus.opened import OpenBus
from bus.ports import Clock, EventStore, Ids, Telemetry, ViewStore
from bus.read.batches import check_tables
from bus.runtime.clock import LoopClock
from bus.runtime.ids import Uuid7Ids
from bus.runtime.log import log, told
from bus.runtime.reply import Reply, loop_finder
from bus.runtime.telemetry import NoTelemetry

R = TypeVar("R")
S = TypeVar("S", bound=State)


class Bus:
    """The message bus of one process, open inside `async with`.

    Leaving the block stops the taking of commands, finishes what is in flight and lets the projectors reach the last
    position, all within `limits.shutdown_timeout_s`; what was not finished is in `report` and in the log. An exception
    in the block leaves it as it is. Without stores the bus runs in memory and forgets everything with the store.

    Opening raises a subclass of `Unusable` where a store cannot be used, and `Unreadable` where upcasters are missing.
    """

    def __init__(
        self,
        application: Application,
        *,
        event_store: EventStore | None = None,
        view_store: ViewStore | None = None,
        limits: Limits | None = None,
        clock: Clock | None = None,
        ids: Ids | None = None,
        telemetry: Telemetry | None = None,
    ) -> None:
        if not isinstance(application, Application):
            raise DefinitionError(f"a bus takes an Application, not {application!r}")
        if limits is not None and not isinstance(limits, Limits):
            raise DefinitionError(f"limits must be an instance of Limits, not {limits!r}")
        check_store("event_store", event_store, "append")
        check_store("view_store", view_store, "commit")
        self.application = application
        self.limits = limits or Limits()
        self.report: ShutdownReport | None = None
        """What the last shutdown could not finish; None while the bus is open or was never opened."""
        self._event_store: EventStore = event_store if event_store is not None else MemoryEventStore()
        self._view_store: ViewStore = view_store if view_store is not None else MemoryViewStore()
        self._clock = clock
        self._ids = ids or Uuid7Ids()
        self._telemetry = telemetry or NoTelemetry()
        self._is_used = False
        """From the beginning of its opening to the end of its closing."""
        self._open: OpenBus | None = None
        self._submit: Callable[..., Reply] = refuse
        """The open bus's intake, at hand since `send` is the hottest call of all."""
        self._find_loop: Callable[[], object] = no_loop
        self._loop: object = None
        """The event loop that the bus is open on: on another one its replies reach nobody."""
        self._thread_id = 0
        self._task_id = 0
        """The task that opened the bus."""

    async def __aenter__(self) -> Self:
        if self._is_used:
            raise DefinitionError("this bus is open already; open another one")
        self.application.schema.check_complete()
        check_tables(self.application, self._view_store)
        self._is_used = True
        self.report = None
        self._task_id = anyio.get_current_task().id
        stack = AsyncExitStack()
        try:
            await stack.enter_async_context(self._event_store)
            await stack.enter_async_context(self._view_store)
            self._open = OpenBus(
                self.application,
                self._event_store,
                self._view_store,
                stack=stack,
                clock=self._clock or LoopClock(),
                ids=self._ids,
                telemetry=self._telemetry,
                limits=self.limits,
            )
            await self._open.start()
            self._submit = self._open.write.intake.submit
            self._find_loop = loop_finder()
            self._loop = self._find_loop()
            self._thread_id = get_ident()
        except BaseException:
            self._open = None
            self._is_used = False
            with anyio.CancelScope(shield=True):
                # The stores are told why, since what is refused stays as it was found.
                await stack.__aexit__(*sys.exc_info())
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        opened = self._opened()
        try:
            await opened.close()
        except anyio.get_cancelled_exc_class():
            # What goes wrong in closing must not hide what went wrong before.
            if error is None:
                raise
        except Exception as failure:
            if error is None:
                if self._task_id != anyio.get_current_task().id:
                    raise DefinitionError(
                        "the bus was left in another task than it was opened in; it is closed, but not in order. Open "
                        "and leave it in one task: fixtures of pytest do so with anyio's plugin"
                    ) from failure
                raise
            log.error("bus could not be closed in order", error=told(failure))
        finally:
            self._open = None
            self._is_used = False
            self._submit = refuse
            self._find_loop, self._loop = no_loop, None
            self.report = opened.report

    def _opened(self) -> OpenBus:
        if self._open is None:
            refuse()
        return self._open

    def _opened_here(self) -> OpenBus:
        opened = self._opened()
        if self._find_loop() is not self._loop:
            refuse_elsewhere()
        return opened

    async def send(
        self,
        command: Command,
        *,
        command_id: str | None = None,
        expected_version: int | None = None,
        timeout: float | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
    ) -> Receipt:
        """Carries out a command; returns once its events are durable.

        The same `command_id` again, also after a restart, gives the first receipt with `duplicate=True`. With
        `expected_version` the command is carried out only if its stream is at that version. `timeout` is in seconds,
        by default `limits.send_timeout_s`.

        What answers an event names it as the cause, and goes on in its conversation:
        `correlation_id=recorded.correlation_id, causation_id=recorded.command_id`.

        Raises the aggregate's own `Rejected`, a subclass of `NotRecorded`, or `OutcomeUnknown`. A cancelled sender's
        command is dropped if it was not yet decided, else recorded.
        """
        if get_ident() != self._thread_id:
            self._opened_here()
        submit = self._submit if causation_id is None else partial(self._submit, causation_id=causation_id)
        try:
            reply = submit(command, command_id, expected_version, timeout, correlation_id)
        except NotRecorded as refusal:
            if self._open is not None:
                self._open.write.refused(command, refusal)
            raise
        try:
            outcome: Receipt | BusError = await reply
        except RuntimeError:
            # A loop refuses the reply of another one, which cannot have run meanwhile. To look first would cost more.
            reply.cancel()
            self._opened_here()
            raise
        if isinstance(outcome, Receipt):
            return outcome
        try:
            raise outcome
        finally:
            # Its traceback leads here: without this every refusal would be a circle, left to the collector of garbage.
            del reply, outcome

    async def send_many(
        self,
        commands: Iterable[Command],
        *,
        command_ids: Iterable[str] | None = None,
        timeout: float | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
    ) -> list[Receipt | BusError]:
        """Carries out many commands, as many at a time as `limits.send_many_commands_max`.

        Returns one outcome for each, in the order given; a refusal is an error in the list and stops no other. Commands
        to one aggregate are decided in the order given. Raises `ValueError`, before anything is sent, unless there is
        one command id for each command.
        """
        commands = list(commands)
        ids = [None] * len(commands) if command_ids is None else list(command_ids)
        if len(ids) != len(commands):
            raise ValueError(f"{len(commands)} commands need as many command ids, not {len(ids)}")
        opened = self._opened_here()
        submit = self._submit if causation_id is None else partial(self._submit, causation_id=causation_id)
        outcomes: list[Receipt | BusError] = []
        pending: deque[Reply] = deque()
        try:
            for command, command_id in zip(commands, ids, strict=True):
                while True:
                    if len(pending) >= self.limits.send_many_commands_max:
                        outcomes.append(await pending.popleft())
                    try:
                        pending.append(submit(command, command_id, None, timeout, correlation_id))
                        break
                    except BusError as error:
                        # An answer that is known already takes its place in the line behind those still awaited.
                        if not isinstance(error, Overloaded) or not pending:
                            opened.write.refused(command, error)
                            known = opened.new_reply()
                            known.set_result(error)
                            pending.append(known)
                            break
                        outcomes.append(await pending.popleft())
            while pending:
                outcomes.append(await pending.popleft())
        finally:
            for reply in pending:
                reply.cancel()
        return outcomes

    async def query(self, query: Query[R], *, after: Receipt | int | None = None, timeout: float | None = None) -> R:
        """The answer of the query's handler, read from one snapshot of the views.

        With `after`, a receipt or a position, the views that the handler reads hold at least the events up to there.
        Of a handler that is `cached` it may be an answer that was read before, if it is what would be read now.
        Raises a subclass of `QueryError`, or of `NotProjected` where `after` is out of reach, or `StoreUnavailable`.
        """
        opened = self._opened_here()
        return await opened.read.answers.ask(query, after_of(after), seconds_of(timeout, self.limits.query_timeout_s))

    def watch(self, query: Query[R]) -> AsyncGenerator[Answer[R]]:
        """The answer now, and again each time that a change of the views it was read from changed it.

        Changes in quick succession give one answer, at most one in `limits.watch_interval_s`. The first answer holds
        what was committed when it was asked for, and none is older than the one before. Equal queries are evaluated
        once for all who watch them. Raises what `query` raises, `ProjectionStopped` once a projection that the answer
        was read from has stopped, and `BusClosed`.
        """
        return self._opened_here().read.watching.watch(query)

    async def wait_projected(
        self,
        receipt: Receipt | int,
        *projections: AnyProjection | str,
        timeout: float | None = None,
    ) -> None:
        """Returns when these projections, or all if none is named, have committed the receipt's position.

        Raises `ProjectionTimeout`, `ProjectionStopped` or `Parked`, or `StoreUnavailable` where nobody can look whether
        it is parked; the command is recorded all the same.
        """
        opened = self._opened_here()
        names = opened.read.named(projections) or list(opened.read.progress)
        deadline = opened.clock.monotonic() + seconds_of(timeout, self.limits.wait_timeout_s)
        await opened.read.wait(names, after_of(receipt), deadline)

    async def wait_settled(self, timeout: float | None = None) -> None:
        """Returns when no command is in flight and every projection has reached the end of the store.

        For tests without sleeps. Raises `NotSettled`, which names who is busy, or `ProjectionStopped`.
        """
        opened = self._opened_here()
        with anyio.CancelScope(deadline=opened.clock.monotonic() + seconds_of(timeout, self.limits.wait_timeout_s)):
            await opened.settle()
            return
        busy = opened.busy()
        raise NotSettled(f"the bus did not settle in time; busy: {', '.join(busy)}", busy=tuple(busy))

    async def load(self, decider: Decider[Any, S, Any], aggregate_id: str) -> Loaded[S]:
        """An aggregate as recorded, for tools and tests; of one that nobody heard of, the initial state at version 0.

        Raises `Unreadable`, `CommandFailed` for a bug in `evolve`, or `StoreUnavailable`; `DefinitionError` for a
        decider that the application does not have, and `ValueError` for what cannot be an id.
        """
        opened = self._opened_here()
        if decider not in self.application.deciders:
            raise DefinitionError(f"the application has no such decider: {getattr(decider, 'category', decider)!r}")
        if (fault := id_fault(aggregate_id)) is not None:
            raise ValueError(f"the aggregate's id is {fault}")
        stream = stream_of(decider.category, aggregate_id)
        found = (await opened.write.recovery.load({stream: decider}))[stream]
        if found.fault is not None:
            raise found.fault
        state: Any = found.state
        return Loaded(state, found.version)

    async def events(self, stream: str | None = None, after: int = 0) -> AsyncGenerator[Recorded[Event]]:
        """The recorded events that follow position `after`, in order; of one stream, those that follow that version.

        They come as upcasters read them: of one that was split, several with the same place; of one dropped, none.
        Ends at the end of the store. Raises `Unreadable` at an event that this application does not know, and
        `BusClosed` where the bus is closed before that end.
        """
        opened = self._opened_here()
        if not isinstance(after, int):
            raise TypeError(f"after must be a position or a version, not {after!r}")
        if not 0 <= after <= POSITION_MAX:
            raise ValueError(f"after must not be negative, nor have more than 64 bits, but is {after}")
        if stream is not None and not isinstance(stream, str):
            raise TypeError(f"a stream has a text for a name, not {stream!r}")
        while True:
            if stream is None:
                page = await self._event_store.page(after, self.limits.page_events_max)
            else:
                page = await self._event_store.stream_pages({stream: after}, self.limits.page_events_max)
            for stored in page:
                for recorded in self.application.schema.recorded(stored):
                    yield recorded
                after = stored.position if stream is None else stored.version
            if len(page) < self.limits.page_events_max:
                return
            if self._open is not opened:
                raise BusClosed(f"the bus was closed while its events were read; they go on after {after}")

    async def dead_letters(
        self, projection: AnyProjection | str | None = None, *, key: str | None = None
    ) -> AsyncGenerator[DeadLetter]:
        """The events that projections with `on_poison=PARK` have given up, by projection, position and key."""
        opened = self._opened_here()
        names = list(opened.read.progress) if projection is None else opened.read.named([projection])
        for name in names:
            async for letter in opened.read.letters(name, key):
                yield letter

    async def retry_dead_letters(
        self, projection: AnyProjection | str, *, key: str | None = None, timeout: float | None = None
    ) -> Request:
        """Lets whoever runs the projection bring the letters of a key, or of all, into its views, in order.

        Returns the request with its `answer`; `is_done` is false where a letter failed again, and stays with the later
        ones of its key. Where nobody has carried it out in time it has no `answered_at`, and whoever runs it next will.
        """
        opened = self._opened_here()
        (name,) = opened.read.named([projection])
        return await opened.read.request(name, "retry", key=key, timeout=self._wait_s(timeout))

    async def discard_dead_letter(self, letter_id: str, *, reason: str, timeout: float | None = None) -> Request:
        """Gives one event up for good, which its view then never sees; the later ones of its key stay parked.

        Returns as `retry_dead_letters` does. Raises `ValueError` for what is no id of a letter.
        """
        opened = self._opened_here()
        projection, version, position, key = letter_place(letter_id)
        (name,) = opened.read.named([projection], version)
        wait_s = self._wait_s(timeout)
        return await opened.read.request(name, "discard", key=key, position=position, reason=reason, timeout=wait_s)

    async def ask_projection(
        self, projection: AnyProjection | str, action: Action, *, timeout: float | None = None
    ) -> Request:
        """Lets whoever runs the projection `rebuild` its views beside those that answer, `switch` or `drop`.

        What is built answers by itself once it has caught up; `switch` goes back to what was replaced, `drop` removes
        that or what is being built. Returns as `retry_dead_letters` does.
        """
        if action not in ("rebuild", "switch", "drop"):
            raise ValueError(f"a projection can be asked to 'rebuild', 'switch' or 'drop', not to {action!r}")
        opened = self._opened_here()
        (name,) = opened.read.named([projection])
        return await opened.read.request(name, action, key=None, timeout=self._wait_s(timeout))

    def _wait_s(self, timeout: float | None) -> float:
        return seconds_of(timeout, self.limits.wait_timeout_s)

    def statistics(self) -> Statistics:
        """The bus at this moment."""
        return self._opened().statistics()
