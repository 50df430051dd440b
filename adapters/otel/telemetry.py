"""Telemetry: hands what the bus tells to spans, metrics and records of exceptions."""

from collections.abc import Callable, Sequence
from functools import wraps
from importlib import metadata
from typing import TYPE_CHECKING, Concatenate, ParamSpec, cast

from opentelemetry.metrics import MeterProvider
from opentelemetry.sdk.trace import Tracer, TracerProvider
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext

from adapters.otel.commands import CommandJourney, Commands
from adapters.otel.declared import SCOPE
from adapters.otel.exceptions import Exceptions
from adapters.otel.guard import Guard
from adapters.otel.meters import Meters
from adapters.otel.providers import providers
from adapters.otel.readers import Readers
from adapters.otel.sampling import Head
from adapters.otel.spans import Spans, sampled_context
from bus.core.errors import BusError, CommandFailed, QueryFailed, Unreadable
from bus.core.messages import Receipt
from bus.core.reports import Decided, Failed, Projected, Queried, Recovered, Sent, Turned
from bus.core.statistics import Statistics
from bus.ports import Clock

if TYPE_CHECKING:
    from opentelemetry._logs import LoggerProvider
    from opentelemetry.trace import TracerProvider as AnyTracerProvider

_BUGS = (CommandFailed, QueryFailed, Unreadable)
"""Errors whose causes are told in full: nobody but the sender hears of them otherwise."""

P = ParamSpec("P")


def _guarded(tell: "Callable[Concatenate[OtelTelemetry, P], None]") -> "Callable[Concatenate[OtelTelemetry, P], None]":
    @wraps(tell)
    def guarded(self: "OtelTelemetry", *arguments: P.args, **options: P.kwargs) -> None:
        try:
            tell(self, *arguments, **options)
        except Exception as error:
            self.guard.complain(error)

    return cast("Callable[Concatenate[OtelTelemetry, P], None]", guarded)


class OtelTelemetry:
    """`Bus(..., telemetry=OtelTelemetry())`, for one bus at a time.

    Without providers it takes those that the application has set, and where there are none makes them from the
    `OTEL_*` variables. Those it made send what they hold at `shutdown`, else at the end of the process.

    `aggregate_ids=False` keeps the ids of aggregates out of spans. Events older than `live_age_max_s` when they are
    projected are told by one span a batch, in a trace of its own. Raises `TypeError` for a tracer provider that is not
    the SDK's.
    """

    def __init__(
        self,
        *,
        tracer_provider: "AnyTracerProvider | None" = None,
        meter_provider: MeterProvider | None = None,
        logger_provider: "LoggerProvider | None" = None,
        aggregate_ids: bool = True,
        live_age_max_s: float = 60.0,
    ) -> None:
        self.guard = Guard()
        version = metadata.version(SCOPE)
        chosen = providers(tracer_provider, meter_provider, logger_provider)
        self._shutdowns = chosen.shutdowns
        self._meters = Meters(chosen.meters.get_meter(SCOPE, version))
        self._exceptions = Exceptions(chosen.loggers.get_logger(SCOPE, version))
        self._spans: Spans | None = None
        self._commands: Commands | None = None
        self._readers: Readers | None = None
        self.sent: Callable[[Sent], CommandJourney | str | None] = _not_traced
        """As the port has it; it is asked for every command, and has no call between it and the answer."""
        tracer = chosen.tracers.get_tracer(SCOPE, version)
        if isinstance(chosen.tracers, TracerProvider) and isinstance(tracer, Tracer):
            spans = self._spans = Spans(tracer, InstrumentationScope(SCOPE, version))
            head = Head(tracer, chosen.tracers.sampler)
            self._commands = Commands(head, spans, self.guard, aggregate_ids=aggregate_ids)
            self.sent = self._commands.sent
            self._readers = Readers(head, spans, aggregate_ids=aggregate_ids, live_age_max_s=live_age_max_s)
        elif type(chosen.tracers).__module__.partition(".")[0] != "opentelemetry":
            raise TypeError(
                f"spans are made with the SDK's own TracerProvider, and {type(chosen.tracers).__name__} is none: "
                "set one of opentelemetry.sdk.trace, and export to whatever you have"
            )

    def shutdown(self) -> None:
        """Sends what is held by providers that were made here, and ends them. May wait for the network."""
        shutdowns, self._shutdowns = self._shutdowns, ()
        for shutdown in shutdowns:
            shutdown()

    def opened(self, statistics: Callable[[], Statistics], clock: Clock) -> None:
        self._meters.opened(statistics)
        if self._spans is not None:
            self._spans.follow(clock)

    def closed(self) -> None:
        self._meters.closed()

    @_guarded
    def refused(self, command: object, error: BusError) -> None:
        self._meters.refused(command, error)

    @_guarded
    def turned(self, turn: Turned) -> None:
        # One look at what nearly always went well and is not traced, in a loop that the interpreter is quick at.
        decided, special = turn.decided, list[tuple[int, Decided]]()
        plain = [one[0].command.__class__ for one in decided if one[1] is None and one[0].journey is None]
        if len(plain) < len(decided):
            special = [
                (index, one) for index, one in enumerate(decided) if one[1] is not None or one[0].journey is not None
            ]
        self._meters.turned(turn, plain, special)
        commands, spans = self._commands, self._spans
        if commands is None or spans is None:
            return
        if special:
            spans.synchronise()
            self._decided(turn, special, commands)
        if turn.answered or turn.joined or turn.again:
            spans.synchronise()
            for sent, answer in turn.answered:
                if sent.journey is not None:
                    commands.answered(turn, sent, answer)
                self._tell(sent, answer)
            for sent, answer in turn.joined:
                if sent.journey is not None:
                    commands.joined(turn, sent, answer)
            for sent in turn.again:
                if sent.journey is not None:
                    commands.again(turn, sent)

    def _decided(self, turn: Turned, special: Sequence[tuple[int, Decided]], commands: Commands) -> None:
        position, begin = turn.position, 0
        for index, (sent, refusal, events, version, _, _) in special:
            # Counted where somebody asks: nearly all that lies between is of no interest.
            position += sum([len(one[2]) for one in turn.decided[begin : index + 1]])
            begin = index + 1
            if sent.journey is not None:
                commands.decided(turn, sent, (refusal, len(events), version, position))
            if refusal is not None:
                self._tell(sent, refusal)

    def _tell(self, sent: Sent, answer: Receipt | BusError | None) -> None:
        if isinstance(answer, _BUGS):
            journey = sent.journey
            place: SpanContext | None = None
            if isinstance(journey, CommandJourney):
                place = journey.before or journey.context
            self._exceptions.tell(f"command {type(sent.command).__name__} failed", answer, place)

    @_guarded
    def recovered(self, actors: Sequence[Recovered]) -> None:
        self._meters.recovered(actors)
        if self._commands is not None and self._spans is not None:
            self._spans.synchronise()
            self._commands.recovered(actors)

    @_guarded
    def projected(self, batch: Projected) -> None:
        self._meters.projected(batch)
        if self._readers is not None:
            self._readers.projected(batch)

    @_guarded
    def queried(self, query: Queried) -> None:
        self._meters.queried(query)
        place = None if self._readers is None else self._readers.queried(query)
        if isinstance(query.error, _BUGS):
            self._exceptions.tell(f"query {query.query} failed", query.error, place)

    @_guarded
    def failed(self, failure: Failed) -> None:
        self._meters.failed(failure)
        traceparent = None if failure.recorded is None else failure.recorded.traceparent
        place = None if traceparent is None else sampled_context(traceparent)
        error = failure.error.__cause__ or failure.error
        self._exceptions.tell(f"{failure.part} {failure.name} failed", error, place, is_retried=True)


def _not_traced(message: Sent) -> None:
    """`sent` where there is no provider of spans."""
    del message
