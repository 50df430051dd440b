"""Observing: gathers what became of commands and tells it to the telemetry, a turn at a time."""

from collections.abc import Mapping, Sequence

from bus.core.errors import BusError, StoreUnavailable
from bus.core.names import category_of
from bus.core.reports import Answered, Recovered, Turned
from bus.ports import Clock, Telemetry
from bus.runtime.telemetry import NoTelemetry
from bus.write.deciding import Staged, Turn
from bus.write.directory import Actor
from bus.write.envelope import Envelope, Outcome, for_twin
from bus.write.recovery import Found


def observing(telemetry: Telemetry, clock: Clock) -> "Observing | None":
    """None for the default, which then costs a turn a few looks and a command none."""
    return None if type(telemetry) is NoTelemetry else Observing(telemetry, clock)


class Observing:
    """What is gathered between two points at which a turn waits belongs to that turn: others run while it does."""

    def __init__(self, telemetry: Telemetry, clock: Clock) -> None:
        self._telemetry = telemetry
        self._monotonic = clock.monotonic
        self.tell = telemetry.sent
        """Asks for the trace of a command that is being sent; at hand, since it is called for each."""
        self._answered: list[Answered] = []
        self._joined: list[Answered] = []
        self._decided: Sequence[Staged] = ()
        self._position = 0
        self._batch = 0

    def refused(self, command: object, error: BusError) -> None:
        """Tells of a command that got no envelope."""
        self._telemetry.refused(command, error)

    def answered(self, envelope: Envelope, outcome: Outcome | None) -> None:
        """Notes a command that is answered, before it lets go of those who joined it."""
        if not self._decided:
            self._answered.append((envelope, outcome))
        for twin in envelope.twins or ():
            if twin.envelope is not None:
                self._joined.append((twin.envelope, None if outcome is None else for_twin(outcome)))

    def decided(self, accepted: Sequence[Staged], position: int) -> None:
        """Notes decisions that stand, which are answered next; `position` is that before their first event."""
        self._decided, self._position = accepted, position

    def turn_decided(self, turn: Turn) -> None:
        """Tells of the commands that a turn answered without the store."""
        if self._answered:
            self._flush(turn.started)

    def turn_committed(
        self, turn: Turn, committing: float, counts: tuple[int, int], again: Mapping[Actor, Sequence[Envelope]]
    ) -> None:
        """Tells of the commands that a turn answered after its batch, of `counts` commands and events."""
        self._batch += 1
        commands, events = counts
        self._flush(
            turn.started,
            committing=committing,
            batch=self._batch,
            commands=commands,
            events=events,
            again=[one for envelopes in again.values() for one in envelopes],
        )

    def turn_failed(self, turn: Turn, committing: float, failure: str) -> None:
        """Tells of the commands that a turn answered with an error of that code, since its batch came to nothing."""
        self._batch += 1
        self._flush(
            turn.started,
            committing=committing,
            batch=self._batch,
            failure=failure,
            commands=len(turn.entries),
            events=sum([len(entry.events) for entry in turn.entries]),
        )

    def turn_answered(self, turn: Turn) -> None:
        """Tells of the commands that a turn answered although nothing was committed."""
        if self._answered or self._decided:
            self._flush(turn.started)

    def left(self) -> None:
        """Tells of commands that were answered outside of any turn."""
        if self._answered:
            self._flush(None)

    def recovered(
        self, actors: Sequence[Actor], started: float, found: Mapping[str, Found], failure: StoreUnavailable | None
    ) -> None:
        """Tells of actors that were loaded, or were not, while their commands wait."""
        ended = self._monotonic()
        told: list[Recovered] = []
        for actor in actors:
            one = found.get(actor.stream)
            error: BusError | None = failure if one is None else one.fault
            events, has_snapshot = (0, False) if one is None else (one.version - one.snapshot_version, one.has_snapshot)
            told.append(
                Recovered(category_of(actor.stream), started, ended, events, has_snapshot, error, actor.mail or ())
            )
        self._telemetry.recovered(told)

    def _flush(
        self,
        started: float | None,
        *,
        committing: float | None = None,
        batch: int = 0,
        failure: str | None = None,
        commands: int = 0,
        events: int = 0,
        again: Sequence[Envelope] = (),
    ) -> None:
        answered, self._answered = self._answered, []
        joined, self._joined = self._joined, []
        decided, self._decided = self._decided, ()
        self._telemetry.turned(
            Turned(
                started=started,
                committing=committing,
                ended=self._monotonic(),
                batch=batch,
                failure=failure,
                commands=commands,
                events=events,
                decided=decided,
                position=self._position,
                answered=answered,
                joined=joined,
                again=again,
            )
        )
