"""Spans: built when they are over, from the times that were noted, and handed to the provider's processor."""

import math
from collections.abc import Mapping, Sequence
from typing import Final

from opentelemetry.sdk.trace import ReadableSpan, Tracer
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.util.types import AttributeValue

from adapters.otel.sampling import SAMPLED
from bus.ports import Clock

COMPARED_EVERY_S: Final = 0.5
"""How often the two clocks are compared: they drift, and one of them may be set."""

_UNSET: Final = Status(StatusCode.UNSET)
_ERROR: Final = Status(StatusCode.ERROR)


class Spans:
    """Makes finished spans. A span of the SDK's own, begun and ended, costs several times as much."""

    def __init__(self, tracer: Tracer, scope: InstrumentationScope) -> None:
        self._resource = tracer.resource
        self._on_end = tracer.span_processor.on_end
        self._new_span_id = tracer.id_generator.generate_span_id
        self._new_trace_id = tracer.id_generator.generate_trace_id
        self._scope = scope
        self._clock: Clock | None = None
        self._offset_s = 0.0
        self._compared_until = -math.inf

    def follow(self, clock: Clock) -> None:
        """From now on times are those of this clock."""
        self._clock, self._compared_until = clock, -math.inf
        self.synchronise()

    def synchronise(self) -> None:
        """Compares the bus's clock with the time of day; called before a batch of spans is made."""
        clock = self._clock
        if clock is not None and (now := clock.monotonic()) >= self._compared_until:
            self._compared_until = now + COMPARED_EVERY_S
            self._offset_s = clock.now().timestamp() - now

    @property
    def now_s(self) -> float:
        """Seconds since 1970."""
        return 0.0 if self._clock is None else self._clock.monotonic() + self._offset_s

    def child(self, parent: SpanContext) -> SpanContext:
        """A new span's place below another one."""
        return SpanContext(parent.trace_id, self._new_span_id(), False, parent.trace_flags, parent.trace_state)

    def root(self) -> SpanContext:
        """A new trace's first span."""
        return SpanContext(self._new_trace_id(), self._new_span_id(), False, SAMPLED)

    def finish(
        self,
        name: str,
        kind: SpanKind,
        context: SpanContext,
        parent: SpanContext | None,
        attributes: Mapping[str, AttributeValue],
        *,
        start: float,
        end: float,
        links: Sequence[Link] = (),
        is_error: bool = False,
    ) -> None:
        """Hands over one span; `start` and `end` are on the bus's clock."""
        offset = self._offset_s
        self._on_end(
            ReadableSpan(
                name,
                context,
                parent,
                self._resource,
                attributes,
                (),
                links,
                kind,
                None,
                _ERROR if is_error else _UNSET,
                int((start + offset) * 1e9),
                int((end + offset) * 1e9),
                self._scope,
            )
        )


def traceparent_of(context: SpanContext) -> str:
    """The W3C header of a place in a trace."""
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def sampled_context(traceparent: str) -> SpanContext | None:
    """The place that a stored header names, where it was recorded; None where it was not, or is no header."""
    if len(traceparent) < 55 or traceparent[54] not in "13579bdf":
        return None
    try:
        context = SpanContext(
            int(traceparent[3:35], 16), int(traceparent[36:52], 16), True, TraceFlags(int(traceparent[53:55], 16))
        )
    except ValueError:
        return None
    return context if context.is_valid else None
