"""Settling: turns the outcome of a commit into states, receipts and published events."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from bus.core.annotations import tag_of
from bus.core.errors import BusError, CommandFailed, StoreUnavailable, Unreadable
from bus.core.fingerprint import fingerprint_or_none
from bus.core.limits import Limits
from bus.core.messages import Event, Receipt, Recorded
from bus.core.names import id_of, trace_id_of
from bus.core.schema import Schema
from bus.core.stored import AlreadyRecorded, Refusal, Stale, Unstorable
from bus.runtime.feed import Feed
from bus.write.answers import exhausted, reused, unknown
from bus.write.commit import Committed, Uncertain, is_own
from bus.write.deciding import Staged, Turn
from bus.write.directory import Actor
from bus.write.envelope import Envelope, Outcome
from bus.write.observing import Observing


class Settling:
    """Steps 6 and 7 of a command's journey."""

    def __init__(
        self,
        schema: Schema,
        feed: Feed,
        *,
        settle: Callable[[Envelope, Outcome], None],
        settled: Callable[[int], None],
        observing: Observing | None,
        limits: Limits,
    ) -> None:
        self._schema = schema
        self._feed = feed
        self._settle = settle
        self._settled = settled
        self._observing = observing
        self._conflict_attempts_max = limits.conflict_attempts_max

    def immediately(self, envelope: Envelope, outcome: BusError | None) -> None:
        """Answers a command that recorded nothing and was decided on a committed state."""
        self._settle(envelope, outcome or _receipt(envelope, envelope.actor.version, self._feed.head, ()))

    def committed(self, turn: Turn, committed: Committed | None) -> dict[Actor, list[Envelope]]:
        """Answers a turn whose batch is durable (None where it had no batch).

        Returns, in the order sent, the commands that must be decided again, by actor: those whose entry was refused
        as stale, and those that were decided on a state which therefore never was.
        """
        if committed is None:
            self._answer(turn.staged, self._feed.head)
            return {}
        before, refused = committed.appended.position_before, committed.appended.refused
        if not refused:
            position = self._answer(turn.staged, before)
            turn.events = position - before
            self._publish(before, position, turn.staged, committed)
            return {}
        earlier = committed.recorded_at if committed.attempts > 1 else None
        sorted_out = self._sort(turn, refused, earlier)
        position = self._answer(sorted_out.accepted, before)
        for actor in sorted_out.dropped:
            actor.state = None
        self._publish(before, position, sorted_out.accepted, committed)
        return sorted_out.again

    def _answer(self, accepted: Sequence[Staged], position: int) -> int:
        """Answers decisions that stand; `position` is that before their first event. Returns that of their last.

        The actors' states follow: what one answer makes known, the next command is decided on.
        """
        unnamed = 0
        if self._observing is not None:
            self._observing.decided(accepted, position)
        for envelope, refusal, events, version, state, _ in accepted:
            actor = envelope.actor
            actor.state = state
            actor.version = version
            if events:
                position += len(events)
                actor.crashes = 0
            traceparent = envelope.traceparent
            outcome = refusal or Receipt(
                envelope.command_id,
                actor.stream,
                version,
                position,
                events,
                False,
                None if traceparent is None else trace_id_of(traceparent),
            )
            if envelope.given:
                self._settle(envelope, outcome)
            else:
                # What `settle` does, without a call for each: nobody else can have joined a command without a name.
                envelope.is_open = False
                unnamed += 1
                reply = envelope.reply
                if not reply.is_done:
                    reply.set_result(outcome)
                if refusal is not None:
                    envelope.let_go()
        self._settled(unnamed)
        return position

    def _sort(self, turn: Turn, refused: Mapping[int, Refusal], earlier: datetime | None) -> "_SortedOut":
        """Finds which decisions stand and which must be made again; answers those that can be neither.

        `earlier` is the time that earlier attempts of the batch, if there were any, have recorded with their events.
        """
        out = _SortedOut()
        broken, again = out.broken, out.again
        own = {index for index, refusal in refused.items() if is_own(turn.entries[index], refusal, earlier)}
        # Where our own events are, the stream was at the version that they were decided on, and so was right what was
        # decided on it before them: it must not come after them now.
        proven = {(turn.entries[index].stream, turn.entries[index].expected_version) for index in own}
        for one in turn.staged:
            envelope, _, events, version, _, entry = one
            actor = envelope.actor
            refusal = refused.get(entry)
            if isinstance(refusal, Stale) and not events and (actor.stream, version) in proven:
                refusal = None
            if refusal is None and actor not in broken:
                out.accepted.append(one)
            elif refusal is None:
                assert entry < 0, "an entry that follows a refused one of its stream is refused"
                again.setdefault(actor, []).append(envelope)
            elif isinstance(refusal, Stale):
                if actor not in broken:
                    envelope.attempts += 1
                if envelope.attempts >= self._conflict_attempts_max:
                    self._settle(envelope, exhausted(envelope))
                else:
                    again.setdefault(actor, []).append(envelope)
                broken.add(actor)
            else:
                self._settle(envelope, self._refused(envelope, refusal, is_own=entry in own))
                (out.moved if entry in own else broken).add(actor)
        return out

    def failed(self, turn: Turn, failure: Uncertain | StoreUnavailable) -> dict[Actor, list[Envelope]]:
        """Answers a turn whose batch was not, or perhaps not, recorded; returns what must be decided again."""
        again: dict[Actor, list[Envelope]] = {}
        for envelope, _, events, _, state, entry in turn.staged:
            if state is None or (events and isinstance(failure, Uncertain)):
                envelope.actor.state = None
            if entry < 0:
                again.setdefault(envelope.actor, []).append(envelope)
            elif isinstance(failure, StoreUnavailable):
                self._settle(envelope, failure.copy())
            else:
                self._settle(envelope, unknown(envelope, repr(failure.error)))
        return again

    def _refused(self, envelope: Envelope, refusal: AlreadyRecorded | Unstorable, *, is_own: bool) -> Outcome:
        if isinstance(refusal, Unstorable):
            return CommandFailed(
                f"the store cannot hold what command {envelope.command_id!r} would record for "
                f"{envelope.actor.stream!r}: {refusal.reason}. Nothing was recorded",
                command=tag_of(type(envelope.command)),
                stream=envelope.actor.stream,
            )
        first, last = refusal.events[0], refusal.events[-1]
        if first.stream != envelope.actor.stream:
            return reused(envelope.command_id, first.stream)
        if first.fingerprint != fingerprint_or_none(envelope.fingerprint or envelope.command):
            return reused(envelope.command_id, first.stream)
        self._feed.advance(last.position)
        try:
            events = tuple([event for stored in refusal.events for event in self._schema.decode(stored)])
        except Unreadable as error:
            return error
        return Receipt(
            envelope.command_id,
            first.stream,
            last.version,
            last.position,
            events,
            # What an earlier attempt of this very batch recorded is the first receipt and no repetition.
            not is_own,
            trace_id_of(first.traceparent),
        )

    def _publish(self, before: int, position: int, accepted: Sequence[Staged], committed: Committed) -> None:
        if position == before or not self._feed.has_listeners:
            # Where nothing was recorded another writer may have been here: what it wrote can be read now.
            self._feed.advance(position)
            return
        events: list[Recorded[Event]] = []
        at = before
        for envelope, _, recorded, version, _, _ in accepted:
            stream = envelope.actor.stream
            version_before = version - len(recorded)
            for number, event in enumerate(recorded, 1):
                events.append(
                    Recorded(
                        event=event,
                        stream=stream,
                        stream_id=id_of(stream),
                        version=version_before + number,
                        position=at + number,
                        recorded_at=committed.recorded_at,
                        command_id=envelope.command_id,
                        correlation_id=envelope.correlation_id or envelope.command_id,
                        causation_id=envelope.causation_id,
                        traceparent=envelope.traceparent,
                    )
                )
            at += len(recorded)
        self._feed.publish(before, events)


class _SortedOut:
    """What became of the commands of a turn."""

    __slots__ = ("accepted", "again", "broken", "moved")

    def __init__(self) -> None:
        self.accepted: list[Staged] = []
        """Decisions that stand: durable, or resting on what is."""
        self.broken: set[Actor] = set()
        """Actors whose state is not what the turn thought: nothing that rests on it stands."""
        self.moved: set[Actor] = set()
        """Actors whose events are those of an earlier attempt; others may have come after them."""
        self.again: dict[Actor, list[Envelope]] = {}

    @property
    def dropped(self) -> set[Actor]:
        """Actors whose state must be read from the store again."""
        return self.broken | self.moved


def _receipt(envelope: Envelope, version: int, position: int, events: tuple[Event, ...]) -> Receipt:
    trace_id = trace_id_of(envelope.traceparent)
    return Receipt(envelope.command_id, envelope.actor.stream, version, position, events, False, trace_id)
