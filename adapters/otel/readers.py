"""Readers: the spans of projectors and queries."""

from collections.abc import Sequence
from typing import Final

from opentelemetry.trace import Link, SpanContext, SpanKind

from adapters.otel import declared
from adapters.otel.outcomes import CANCELLED, OK, is_failure, outcome_of_error
from adapters.otel.sampling import Attributes, Head
from adapters.otel.spans import Spans, sampled_context
from bus.core.messages import Event, Recorded
from bus.core.names import category_of
from bus.core.reports import Projected, Queried

LINKS_MAX: Final = 128
"""Links of one batch span, which is what the SDK allows a span by default."""


class Readers:
    """Projectors follow what is stored with the events, queries whoever asks."""

    def __init__(self, head: Head, spans: Spans, *, aggregate_ids: bool, live_age_max_s: float) -> None:
        self._head = head
        self._spans = spans
        self._aggregate_ids = aggregate_ids
        self._live_age_max_s = live_age_max_s

    def projected(self, batch: Projected) -> None:
        """A span for each sampled event of a live batch; else one span that links to them."""
        sampled: list[tuple[Recorded[Event], SpanContext]] = []
        for recorded in batch.events:
            traceparent = recorded.traceparent
            context = None if traceparent is None else sampled_context(traceparent)
            if context is not None:
                sampled.append((recorded, context))
        if not sampled:
            return
        self._spans.synchronise()
        oldest = self._spans.now_s - self._live_age_max_s
        old: list[SpanContext] = []
        for recorded, context in sampled:
            if batch.is_live and recorded.recorded_at.timestamp() >= oldest:
                self._project(batch, recorded, context)
            else:
                old.append(context)
        if old:
            self._catch_up(batch, old)

    def _project(self, batch: Projected, recorded: Recorded[Event], parent: SpanContext) -> None:
        attributes: Attributes = {
            declared.MESSAGE_KIND: "event",
            declared.MESSAGE_TYPE: type(recorded.event).__name__,
            declared.MESSAGE_ID: str(recorded.position),
            declared.CORRELATION_ID: recorded.correlation_id,
            declared.CAUSATION_ID: recorded.command_id,
            declared.CATEGORY: category_of(recorded.stream),
            declared.VERSION_AFTER: recorded.version,
            declared.POSITION: recorded.position,
            declared.PROJECTION: batch.projection,
        }
        if self._aggregate_ids:
            attributes[declared.AGGREGATE_ID] = recorded.stream_id
        attributes.update(declared.fields_of(recorded.event))
        self._spans.finish(
            f"project {batch.projection}",
            SpanKind.CONSUMER,
            self._spans.child(parent),
            parent,
            attributes,
            start=batch.started,
            end=batch.ended,
        )

    def _catch_up(self, batch: Projected, events: Sequence[SpanContext]) -> None:
        # Recorded whatever the sampler would say of a new root: what it links to was sampled.
        # Several events of one command share their place in its trace.
        links = [Link(context) for context in {(one.trace_id, one.span_id): one for one in events}.values()]
        attributes: Attributes = {
            declared.MESSAGE_KIND: "event",
            declared.PROJECTION: batch.projection,
            declared.BATCH_EVENTS: batch.read,
            declared.POSITION: batch.position,
        }
        self._spans.finish(
            f"project {batch.projection}",
            SpanKind.CONSUMER,
            self._spans.root(),
            None,
            attributes,
            start=batch.started,
            end=batch.ended,
            links=links[:LINKS_MAX],
        )

    def queried(self, query: Queried) -> SpanContext | None:
        """A span below whatever is current for whoever asked; returns its place, None where it is not recorded."""
        place = self._head.look()
        if place is None or isinstance(place, SpanContext):
            return None
        outcome = OK if query.is_answered else CANCELLED
        attributes: Attributes = {declared.MESSAGE_KIND: "query", declared.MESSAGE_TYPE: query.query}
        if query.asked is not None:
            attributes.update(declared.fields_of(query.asked))
        if query.error is not None:
            outcome = outcome_of_error(query.error)
            attributes[declared.CODE] = query.error.code
            if is_failure(outcome):
                attributes[declared.ERROR_TYPE] = query.error.code
        attributes[declared.OUTCOME] = outcome
        context = self._head.ask(place, f"query {query.query}", SpanKind.INTERNAL, attributes)
        if context is None:
            return None
        self._spans.synchronise()
        self._spans.finish(
            f"query {query.query}",
            SpanKind.INTERNAL,
            context,
            place[1],
            attributes,
            start=query.started,
            end=query.ended,
            is_error=is_failure(outcome),
        )
        return context
