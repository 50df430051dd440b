"""Commands: decides which are traced, and makes the spans of those when their turn is over."""

from collections.abc import Callable, Sequence

import msgspec
from opentelemetry.trace import Link, SpanContext, SpanKind

from adapters.otel import declared
from adapters.otel.drawing import Drawing
from adapters.otel.guard import Guard
from adapters.otel.outcomes import CONFLICT, DUPLICATE, ERROR, OK, is_failure, outcome_of
from adapters.otel.sampling import EMPTY, Attributes, Head, Place, current_context
from adapters.otel.spans import Spans, traceparent_of
from bus.core.errors import BusError
from bus.core.messages import Receipt
from bus.core.names import category_of, id_of
from bus.core.reports import Recovered, Sent, Turned


class CommandJourney(msgspec.Struct, eq=False):
    """A command that is traced."""

    traceparent: str
    context: SpanContext
    """Of its send span, which ends last."""
    parent: SpanContext | None
    attributes: Attributes
    """Of the send span, as far as they were known when the command was sent."""
    known: Attributes
    """The same without what the sampler added."""
    name: str
    """The command's type."""
    process: SpanContext | None = None
    """Where the present attempt's span will be; made early where something happens below it."""
    taken: float | None = None
    """When its actor began to be recovered."""
    attempts: int = 0
    """Attempts that are over."""
    before: SpanContext | None = None
    """The last of these."""


class Commands:
    """Nothing is made for a command that is not sampled, neither a span nor a dictionary."""

    def __init__(self, head: Head, spans: Spans, guard: Guard, *, aggregate_ids: bool) -> None:
        self._head = head
        self._guard = guard
        self._spans = spans
        self._aggregate_ids = aggregate_ids
        self._unsampled: SpanContext | None = None
        self._unsampled_text = ""
        self.sent = self._looked if head.drawing is None else self._drawn(head.drawing)
        """A journey, or what to store for a command that is not recorded."""

    def _drawn(self, drawing: Drawing) -> Callable[[Sent], CommandJourney | str | None]:
        """`sent` where roots can be drawn: nearly all commands are roots that are dropped, and cost next to nothing."""
        current, gap, trace_id, ask, look = (
            current_context(),
            drawing.gap,
            drawing.trace_id,
            self._asked,
            self._looked,
        )
        left = gap()

        def sent(message: Sent, /) -> CommandJourney | str | None:
            nonlocal left
            if current():
                return look(message)
            left -= 1.0
            if left:
                return None
            left = gap()
            return ask(message, (EMPTY, None, trace_id()))

        return sent

    def _looked(self, message: Sent, /) -> CommandJourney | str | None:
        place = self._head.look()
        if place is None:
            return None
        if isinstance(place, SpanContext):
            return self._text_of(place)
        return self._asked(message, place)

    def _asked(self, message: Sent, place: Place) -> CommandJourney | str | None:
        name = type(message.command).__name__
        known = self._attributes(message, name)
        attributes = known.copy()
        context, parent = None, place[1]
        try:
            context = self._head.ask(place, f"send {name}", SpanKind.PRODUCER, attributes)
        except Exception as error:
            # A sampler may be the application's own.
            self._guard.complain(error)
        if context is None:
            return None if parent is None else self._text_of(parent)
        return CommandJourney(traceparent_of(context), context, parent, attributes, known, name)

    def _text_of(self, parent: SpanContext) -> str:
        # The commands of one request have the same caller.
        if parent is not self._unsampled:
            self._unsampled, self._unsampled_text = parent, traceparent_of(parent)
        return self._unsampled_text

    def _attributes(self, message: Sent, name: str) -> Attributes:
        attributes: Attributes = {
            declared.MESSAGE_KIND: "command",
            declared.MESSAGE_TYPE: name,
            declared.MESSAGE_ID: message.command_id,
            declared.CORRELATION_ID: message.correlation_id or message.command_id,
            declared.CATEGORY: category_of(message.stream),
        }
        if message.causation_id is not None:
            attributes[declared.CAUSATION_ID] = message.causation_id
        if self._aggregate_ids:
            attributes[declared.AGGREGATE_ID] = id_of(message.stream)
        attributes.update(declared.fields_of(message.command))
        return attributes

    def recovered(self, actors: Sequence[Recovered]) -> None:
        """Notes recoveries below the commands that waited for them."""
        spans = self._spans
        for actor in actors:
            for sent in actor.waiting:
                journey = sent.journey
                if not isinstance(journey, CommandJourney):
                    continue
                start = max(actor.started, sent.sent)
                journey.taken = start if journey.taken is None else journey.taken
                if journey.process is None:
                    journey.process = spans.child(journey.context)
                attributes: Attributes = {
                    declared.CATEGORY: actor.category,
                    declared.REPLAYED: actor.events,
                    declared.SNAPSHOT: actor.has_snapshot,
                }
                if actor.error is not None:
                    attributes[declared.ERROR_TYPE] = actor.error.code
                spans.finish(
                    f"recover {actor.category}",
                    SpanKind.INTERNAL,
                    spans.child(journey.process),
                    journey.process,
                    attributes,
                    start=start,
                    end=actor.ended,
                    is_error=actor.error is not None,
                )

    def decided(self, turn: Turned, sent: Sent, place: tuple[BusError | None, int, int, int]) -> None:
        """A traced command whose decision stands: its refusal, its events, the version after it and its position."""
        refusal, events, version, position = place
        outcome, known = self._outcome(sent, refusal, turn.ended) if refusal is not None else (OK, {})
        known |= {
            declared.VERSION_BEFORE: version - events,
            declared.VERSION_AFTER: version,
            declared.EVENTS: events,
        }
        if events:
            known[declared.POSITION] = position
        self._process(turn, sent, outcome, known)
        self._send(sent, turn.ended, outcome if sent.deadline > turn.ended else "timeout", known)

    def answered(self, turn: Turned, sent: Sent, answer: Receipt | BusError | None) -> None:
        """A traced command that was answered by itself."""
        outcome, known = self._outcome(sent, answer, turn.ended)
        journey = sent.journey
        assert isinstance(journey, CommandJourney)
        had_turn = journey.process is not None or (answer is not None and turn.started is not None)
        if had_turn:
            self._process(turn, sent, outcome, known)
        self._send(sent, turn.ended, outcome, known)

    def joined(self, turn: Turned, sent: Sent, answer: Receipt | BusError | None) -> None:
        """A traced command that waited for another sender's."""
        outcome, known = self._outcome(sent, answer, turn.ended)
        self._send(sent, turn.ended, DUPLICATE if outcome == OK else outcome, known)

    def again(self, turn: Turned, sent: Sent) -> None:
        """A traced command that another writer came before: this attempt is over."""
        self._process(turn, sent, CONFLICT, {})

    def _outcome(self, sent: Sent, answer: Receipt | BusError | None, now: float) -> tuple[str, Attributes]:
        outcome = outcome_of(answer, is_late=sent.deadline <= now)
        if isinstance(answer, Receipt):
            return outcome, {declared.VERSION_AFTER: answer.version, declared.POSITION: answer.position}
        if isinstance(answer, BusError):
            known: Attributes = {declared.CODE: answer.code}
            if is_failure(outcome):
                known[declared.ERROR_TYPE] = answer.code
            return outcome, known
        return outcome, {declared.ERROR_TYPE: "deadline-exceeded"} if outcome == "timeout" else {}

    def _send(self, sent: Sent, end: float, outcome: str, known: Attributes) -> None:
        journey = sent.journey
        assert isinstance(journey, CommandJourney)
        attributes = journey.attributes
        attributes[declared.OUTCOME] = outcome
        for key in (declared.CODE, declared.ERROR_TYPE):
            if key in known:
                attributes[key] = known[key]
        self._spans.finish(
            f"send {journey.name}",
            SpanKind.PRODUCER,
            journey.context,
            journey.parent,
            attributes,
            start=sent.sent,
            end=end,
            is_error=is_failure(outcome),
        )

    def _process(self, turn: Turned, sent: Sent, outcome: str, known: Attributes) -> None:
        journey = sent.journey
        assert isinstance(journey, CommandJourney)
        spans = self._spans
        name = journey.name
        context = journey.process or spans.child(journey.context)
        start = turn.started if journey.taken is None else journey.taken
        if start is None:
            start = turn.ended
        journey.attempts += 1
        attributes = journey.known.copy()
        attributes[declared.MAILBOX_WAIT] = max(0.0, start - sent.sent)
        attributes[declared.ATTEMPT] = journey.attempts
        attributes.update(known)
        attributes[declared.OUTCOME] = outcome
        spans.finish(
            f"process {name}",
            SpanKind.CONSUMER,
            context,
            journey.context,
            attributes,
            start=start,
            end=turn.ended,
            links=() if journey.before is None else (Link(journey.before),),
            is_error=is_failure(outcome),
        )
        if turn.committing is not None:
            self._commit(turn, context, is_conflict=outcome == CONFLICT)
        journey.before, journey.process, journey.taken = context, None, None

    def _commit(self, turn: Turned, parent: SpanContext, *, is_conflict: bool) -> None:
        """The share that one command had in its turn's batch."""
        attributes: Attributes = {
            declared.BATCH_NUMBER: turn.batch,
            declared.BATCH_COMMANDS: turn.commands,
            declared.BATCH_EVENTS: turn.events,
            declared.OUTCOME: CONFLICT if is_conflict else OK,
        }
        if turn.failure is not None:
            attributes[declared.OUTCOME] = ERROR
            attributes[declared.ERROR_TYPE] = turn.failure
        assert turn.committing is not None
        self._spans.finish(
            "commit",
            SpanKind.INTERNAL,
            self._spans.child(parent),
            parent,
            attributes,
            start=turn.committing,
            end=turn.ended,
            is_error=turn.failure is not None,
        )
