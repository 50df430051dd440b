"""The write side: its parts, put together, and the turn that the dispatcher runs."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import anyio

from bus.core.application import Application
from bus.core.decider import Decider
from bus.core.errors import BusClosed, BusError, OutcomeUnknown, StoreUnavailable
from bus.core.limits import Limits
from bus.ports import Clock, EventStore, Ids, Telemetry
from bus.runtime.dispatcher import Dispatcher
from bus.runtime.feed import Feed
from bus.runtime.log import log, told
from bus.runtime.reply import Reply
from bus.runtime.supervisor import Supervisor, backoff_s
from bus.write.answers import unknown
from bus.write.commit import Committed, GroupCommit, Uncertain
from bus.write.deadlines import Deadlines
from bus.write.deciding import Deciding, Turn
from bus.write.directory import Actor, Directory
from bus.write.envelope import Envelope
from bus.write.intake import Intake
from bus.write.neighbours import Neighbours
from bus.write.observing import observing
from bus.write.recovery import Found, Recovery
from bus.write.settling import Settling
from bus.write.snapshotting import Snapshotting


class WriteSide:
    """Commands in, receipts out."""

    def __init__(
        self,
        application: Application,
        store: EventStore,
        feed: Feed,
        *,
        supervisor: Supervisor,
        new_reply: Callable[[], Reply],
        clock: Clock,
        ids: Ids,
        telemetry: Telemetry,
        limits: Limits,
    ) -> None:
        self._supervisor = supervisor
        self._store = store
        self._feed = feed
        self._clock = clock
        self._limits = limits
        self._observing = observing(telemetry, clock)
        self._neighbours = Neighbours()
        self._turns: list[Turn] = []
        """Those under way; more than one only where the store takes more appends at once."""
        self._recovering: set[Actor] = set()
        self._lost = 0
        """Commands whose outcome was unknown when the bus was closed."""
        self.doubt: Uncertain | None = None
        """A batch that may have moved the end of the store without anybody's knowledge."""
        self.directory = Directory(limits)
        self.dispatcher: Dispatcher[Actor] = Dispatcher(
            self._run_turn, new_reply, turns_max=store.appends_at_once, actors_min=limits.turn_actors_min
        )
        self.deadlines = Deadlines(
            mailboxes=self._mailboxes,
            staged=self._staged,
            mailbox_commands_max=limits.mailbox_commands_max,
            clock=clock,
            new_reply=new_reply,
        )
        self.intake = Intake(
            application,
            self.directory,
            wake=self.dispatcher.wake,
            deadlines=self.deadlines,
            new_reply=new_reply,
            clock=clock,
            ids=ids,
            observing=self._observing,
            limits=limits,
        )
        self.commit = GroupCommit(store, clock=clock, telemetry=telemetry, limits=limits)
        self.recovery = Recovery(store, application.schema, limits)
        self.snapshots = Snapshotting(application.deciders, store, new_reply=new_reply, limits=limits)
        self._settling = Settling(
            application.schema,
            feed,
            settle=self.intake.settle,
            settled=self.intake.settled,
            observing=self._observing,
            limits=limits,
        )
        self._deciding = Deciding(
            application,
            confirm=store.shared,
            settle=self._settling.immediately,
            drop=self.intake.drop,
            limits=limits,
        )

    def start(self) -> None:
        """Starts the dispatcher and its helpers."""
        for _ in range(self._store.appends_at_once):
            self._supervisor.start("dispatcher", self.dispatcher.run)
        self._supervisor.start("deadlines", self.deadlines.run)
        self._supervisor.start("passivation", self._passivate)
        if self.snapshots.is_wanted:
            self._supervisor.start("snapshots", self.snapshots.run)

    @property
    def busy(self) -> int:
        """Commands in flight."""
        return self.intake.in_flight

    def refused(self, command: object, error: BusError) -> None:
        """Told by whoever submits when the intake refuses a command: to catch it there costs nothing."""
        if self._observing is not None:
            self._observing.refused(command, error)

    async def _run_turn(self, actors: list[Actor]) -> None:
        """Steps 4 to 7 for all that have mail: decide, commit, settle, publish.

        Turns that go on beside each other have no actor in common, and so nothing that one of them decides rests on
        what another has not committed.
        """
        turn = Turn(self._clock.monotonic())
        self._turns.append(turn)
        again: Mapping[Actor, list[Envelope]] = {}
        try:
            self._deciding.decide(turn, actors)
            if self._observing is not None:
                self._observing.turn_decided(turn)
            if turn.cold:
                # From now on the recovery has them, and gives them back.
                cold, turn.cold = turn.cold, []
                self._recover(cold)
            if turn.again:
                # Another turn may have those for whom this one had no room, while this one awaits its commit.
                left, turn.again = turn.again, []
                self.dispatcher.put_first(left)
            if turn.staged:
                again = await self._commit(turn)
            if self.snapshots.is_wanted:
                self.snapshots.look(turn.actors)
        except BaseException:
            self._break(turn, actors)
            again = {}
            raise
        finally:
            self._turns.remove(turn)
            self._release(turn, again)
            # An error that was staged leads back to the turn by its traceback: see `Envelope.let_go`.
            turn.staged.clear()

    async def _commit(self, turn: Turn) -> Mapping[Actor, list[Envelope]]:
        observed, committing = self._observing, 0.0
        if not turn.entries:
            again = self._settling.committed(turn, None)
            if observed is not None:
                observed.turn_answered(turn)
            return again
        if observed is not None:
            committing = self._clock.monotonic()
        outcome = await self.commit.append(turn.entries)
        if isinstance(outcome, Uncertain) and not self._store.shared:
            # Who follows a shared store looks there again and again; here nobody would before the next commit.
            if self.doubt is None:
                self._supervisor.start("end of the store", self._look_for_end)
            self.doubt = outcome
        if not isinstance(outcome, Committed):
            again = self._settling.failed(turn, outcome)
            if observed is not None:
                code = outcome.code if isinstance(outcome, StoreUnavailable) else OutcomeUnknown.code
                observed.turn_failed(turn, committing, code)
            return again
        again = self._settling.committed(turn, outcome)
        self.commit.events += turn.events
        if self._store.appends_at_once > 1 and self._neighbours.note(self._feed.head, outcome.events + turn.events):
            self.dispatcher.is_alone = self._neighbours.are_writing
        if observed is not None:
            observed.turn_committed(turn, committing, (outcome.commands, outcome.events + turn.events), again)
        return again

    async def find_end(self) -> None:
        """Asks the store where it ends, and makes it known; raises what the store raises."""
        doubt = self.doubt
        self._feed.advance(await self._store.head())
        if self.doubt is doubt:
            self.doubt = None

    async def _look_for_end(self) -> None:
        attempt = 0
        while self.doubt is not None:
            attempt += 1
            try:
                await self.find_end()
            except Exception as error:
                log.warning("end of the store is unknown", store=self._store.url, attempt=attempt, error=told(error))
                await anyio.sleep(backoff_s(self._limits.append_backoff_s, self._limits.append_backoff_max_s, attempt))

    def _release(self, turn: Turn, again: Mapping[Actor, list[Envelope]]) -> None:
        """Gives the turn's actors back: what must be decided again goes before what has come since."""
        now, move_to_end = turn.started, self.directory.actors.move_to_end
        for actor in turn.actors:
            actor.busy = False
            actor.last_used = now
            move_to_end(actor.stream)
        for actor, envelopes in again.items():
            if actor.mail is None:
                # Whoever left mail for the next turn, or has got new mail since, is in line already.
                actor.mail = envelopes
                turn.again.append(actor)
            else:
                actor.mail = envelopes + actor.mail
        if turn.again:
            self.dispatcher.put_first(turn.again)
        self.directory.trim()

    def _break(self, turn: Turn, actors: list[Actor]) -> None:
        """After a crash or the end of the turn itself: nobody is left hanging, and no state is trusted."""
        for mail in turn.taken:
            actor = mail[0].actor
            actor.state = None
            undecided = set(actor.mail or ())
            for envelope in mail:
                if envelope.is_open and envelope not in undecided:
                    if not self.intake.is_open:
                        self._lost += 1 + len(envelope.twins or ())
                    self.intake.settle(envelope, unknown(envelope, "the bus stopped while recording it"))
        if self._observing is not None:
            self._observing.turn_answered(turn)
        turn.actors = [mail[0].actor for mail in turn.taken] + turn.cold
        in_line = {*self.dispatcher.ready, *self.dispatcher.held, *self._recovering}
        turn.again = [actor for actor in actors if actor.mail is not None and actor not in in_line]

    def _recover(self, actors: list[Actor]) -> None:
        self._recovering.update(actors)
        step = self._limits.recover_streams_max
        # Who has to pause does not keep those waiting who need not.
        by_pause: dict[float, list[Actor]] = {}
        for actor in actors:
            by_pause.setdefault(self._pause_s(actor.crashes), []).append(actor)
        for pause_s, together in by_pause.items():
            for start in range(0, len(together), step):
                batch = together[start : start + step]
                self._supervisor.start("recovery", partial(self._recover_now, batch, pause_s))

    def _pause_s(self, crashes: int) -> float:
        """A bug once is no reason to wait; a state that breaks again and again is."""
        if crashes < 2:
            return 0.0
        return backoff_s(self._limits.restart_backoff_s, self._limits.restart_backoff_max_s, crashes - 1)

    async def _recover_now(self, actors: list[Actor], pause_s: float) -> None:
        if pause_s:
            await anyio.sleep(pause_s)
        started = self._clock.monotonic()
        streams: dict[str, Decider[Any, Any, Any]] = {actor.stream: actor.decider for actor in actors}
        try:
            found: Mapping[str, Found] | None = await self.recovery.load(streams)
            failure = None
        except StoreUnavailable as error:
            found, failure = None, error
        if self._observing is not None:
            self._observing.recovered(actors, started, found or {}, failure)
        now = self._clock.monotonic()
        for actor in actors:
            self._recovering.discard(actor)
            actor.busy = False
            self.directory.touch(actor, now)
            fault = failure if found is None else found[actor.stream].fault
            if fault is None:
                assert found is not None
                one = found[actor.stream]
                actor.state, actor.version, actor.snapshot_version = one.state, one.version, one.snapshot_version
                if actor.mail is not None:
                    self.dispatcher.wake(actor)
            else:
                # A store that is away says nothing about the aggregate.
                actor.crashes += failure is None
                mail, actor.mail = actor.mail or [], None
                for envelope in mail:
                    self.intake.settle(envelope, fault.copy())
        if self._observing is not None:
            self._observing.left()
        self.directory.trim()

    async def _passivate(self) -> None:
        while True:
            again = self.directory.passivate_idle(self._clock.monotonic())
            await anyio.sleep_until(again)

    @property
    def mailboxes(self) -> int:
        """Actors with mail."""
        return sum([actor.mail is not None for actor in self._mailboxes()])

    @property
    def streams_with_mail(self) -> list[str]:
        """Their streams."""
        return sorted({actor.stream for actor in self._mailboxes() if actor.mail is not None})

    def _mailboxes(self) -> Iterable[Actor]:
        yield from self.dispatcher.ready
        yield from self.dispatcher.held
        yield from self._recovering

    def _staged(self) -> Iterable[Envelope]:
        for turn in self._turns:
            yield from [staged[0] for staged in turn.staged]

    def abandon(self) -> int:
        """Answers everything still in flight once the dispatcher has ended; returns how many commands that were."""
        left = self._lost + self.busy
        for actor in list(self.directory.actors.values()):
            mail, actor.mail = actor.mail or [], None
            for envelope in mail:
                self.intake.settle(
                    envelope, BusClosed("the bus was closed before the command was decided: nothing was recorded")
                )
        if self._observing is not None:
            self._observing.left()
        return left
