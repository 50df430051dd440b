"""Settling: turns the outcome of a commit into states, receipts and published events."""

from collections.abc import Callable, Mapping
from datetime import datetime

from bus.core.annotations import tag_of
from bus.core.errors import BusError, CommandFailed, StoreUnavailable, Unreadable
from bus.core.fingerprint import fingerprint_or_none
from bus.core.limits import Limits
from bus.core.messages import Event, Receipt, Recorded
from bus.core.names import id_of
from bus.core.schema import Schema
from bus.core.stored import AlreadyRecorded, Refusal, Stale, Unstorable
from bus.runtime.feed import Feed
from bus.write.answers import exhausted, reused, unknown
from bus.write.commit import Committed, Uncertain
from bus.write.deciding import Staged, Turn
from bus.write.directory import Actor
from bus.write.envelope import Envelope, Outcome


class Settling:
    """Steps 6 and 7 of a command's journey."""

    def __init__(
        self, schema: Schema, feed: Feed, *, settle: Callable[[Envelope, Outcome], None], limits: Limits
    ) -> None:
        self._schema = schema
        self._feed = feed
        self._settle = settle
        self._conflict_attempts_max = limits.conflict_attempts_max

    def immediately(self, envelope: Envelope, outcome: BusError | None) -> None:
        """Answers a command that recorded nothing and was decided on a committed state."""
        self._settle(envelope, outcome or _receipt(envelope, envelope.actor.version, self._feed.head, ()))

    def committed(self, turn: Turn, committed: Committed | None) -> dict[Actor, list[Envelope]]:
        """Answers a turn whose batch is durable (None where it had no batch).

        Returns, in the order sent, the commands that must be decided again, by actor: those whose entry was refused
        as stale, and those that were decided on a state which therefore never was.
        """
        for actor, state, version in turn.states:
            actor.state = state
            actor.version = version
            if state is not None:
                actor.crashes = 0
        if committed is None:
            return self._sort(turn.staged, {}, self._feed.head, earlier=None).again
        appended = committed.appended
        earlier = committed.recorded_at if committed.attempts > 1 else None
        sorted_out = self._sort(turn.staged, appended.refused, appended.position_before, earlier=earlier)
        for actor in sorted_out.broken:
            actor.state = None
        self._publish(appended.position_before, sorted_out.recorded, committed)
        return sorted_out.again

    def _sort(
        self, staged: list[Staged], refused: Mapping[int, Refusal], position: int, *, earlier: datetime | None
    ) -> "_SortedOut":
        """Answers each command, or finds that it must be decided again; `position` is that before the first event.

        `earlier` is the time that earlier attempts of the batch, if there were any, have recorded with their events.
        """
        out = _SortedOut()
        recorded, broken, again = out.recorded, out.broken, out.again
        for one in staged:
            envelope = one.envelope
            refusal = refused.get(one.entry) if refused else None
            if refusal is None and not (broken and envelope.actor in broken):
                if one.events:
                    recorded.append((one, position))
                    position += len(one.events)
                self._settle(envelope, one.outcome or _receipt(envelope, one.version, position, one.events))
            elif refusal is None:
                assert one.entry < 0, "an entry that follows a refused one of its stream is refused"
                again.setdefault(envelope.actor, []).append(envelope)
            elif isinstance(refusal, Stale):
                if envelope.actor not in broken:
                    envelope.attempts += 1
                if envelope.attempts >= self._conflict_attempts_max:
                    self._settle(envelope, exhausted(envelope))
                else:
                    again.setdefault(envelope.actor, []).append(envelope)
                broken.add(envelope.actor)
            else:
                self._settle(envelope, self._refused(one, refusal, earlier))
                broken.add(envelope.actor)
        return out

    def failed(self, turn: Turn, failure: Uncertain | StoreUnavailable) -> dict[Actor, list[Envelope]]:
        """Answers a turn whose batch was not, or perhaps not, recorded; returns what must be decided again."""
        again: dict[Actor, list[Envelope]] = {}
        for actor, state, _ in turn.states:
            if state is None or isinstance(failure, Uncertain):
                actor.state = None
        for staged in turn.staged:
            envelope = staged.envelope
            if staged.entry < 0:
                again.setdefault(envelope.actor, []).append(envelope)
            elif isinstance(failure, StoreUnavailable):
                self._settle(envelope, failure.copy())
            else:
                self._settle(envelope, unknown(envelope, repr(failure.error)))
        return again

    def _refused(self, staged: Staged, refusal: AlreadyRecorded | Unstorable, earlier: datetime | None) -> Outcome:
        envelope = staged.envelope
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
            events = tuple([self._schema.decode(stored) for stored in refusal.events])
        except Unreadable as error:
            return error
        return Receipt(
            envelope.command_id,
            first.stream,
            last.version,
            last.position,
            events,
            # What an earlier attempt of this very batch recorded is the first receipt and no repetition.
            not (staged.events and last.version == staged.version and last.recorded_at == earlier),
            trace_id_of(first.traceparent),
        )

    def _publish(self, before: int, published: list[tuple[Staged, int]], committed: Committed) -> None:
        if not published:
            # Another writer may have been here: what it wrote can be read now.
            self._feed.advance(before)
            return
        if not self._feed.has_listeners:
            staged, at = published[-1]
            self._feed.advance(at + len(staged.events))
            return
        events: list[Recorded[Event]] = []
        for staged, at in published:
            envelope = staged.envelope
            stream = envelope.actor.stream
            version = staged.version - len(staged.events)
            for number, event in enumerate(staged.events, 1):
                events.append(
                    Recorded(
                        event=event,
                        stream=stream,
                        stream_id=id_of(stream),
                        version=version + number,
                        position=at + number,
                        recorded_at=committed.recorded_at,
                        command_id=envelope.command_id,
                        correlation_id=envelope.correlation_id or envelope.command_id,
                        traceparent=envelope.traceparent,
                    )
                )
        self._feed.publish(before, events)


class _SortedOut:
    """What became of the commands of a turn."""

    __slots__ = ("again", "broken", "recorded")

    def __init__(self) -> None:
        self.recorded: list[tuple[Staged, int]] = []
        """What is durable, each with the position before its first event."""
        self.broken: set[Actor] = set()
        """Actors whose state is not what the turn thought."""
        self.again: dict[Actor, list[Envelope]] = {}


def _receipt(envelope: Envelope, version: int, position: int, events: tuple[Event, ...]) -> Receipt:
    traceparent = envelope.traceparent
    trace_id = None if traceparent is None else trace_id_of(traceparent)
    return Receipt(envelope.command_id, envelope.actor.stream, version, position, events, False, trace_id)


def trace_id_of(traceparent: str | None) -> str | None:
    """The second field of a W3C `traceparent`."""
    if traceparent is None:
        return None
    parts = traceparent.split("-")
    return parts[1] if len(parts) > 1 else None
