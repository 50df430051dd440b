"""Sampling: whether a message's way is recorded, decided before anything is made for it."""

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Final, TypeAlias, cast

from opentelemetry import context as contexts
from opentelemetry.context import Context, get_current
from opentelemetry.sdk.trace import Tracer
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import (
    Decision,
    ParentBased,
    ParentBasedTraceIdRatio,
    Sampler,
    StaticSampler,
    TraceIdRatioBased,
)
from opentelemetry.trace import SpanContext, SpanKind, TraceFlags, TraceState, get_current_span
from opentelemetry.util.types import AttributeValue

from adapters.otel.drawing import LOW_BITS, Drawing

Attributes: TypeAlias = dict[str, AttributeValue]
Place: TypeAlias = tuple[Context, SpanContext | None, int]
"""Where a span may begin: what is current, the span that is, if any, and the trace id."""

EMPTY: Final = Context()
SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED)
_FOLLOWS: Final = (
    ",remoteParentSampled:AlwaysOnSampler,remoteParentNotSampled:AlwaysOffSampler,"
    "localParentSampled:AlwaysOnSampler,localParentNotSampled:AlwaysOffSampler}"
)


class Head:
    """Asks the provider's sampler, and only where it is not known beforehand what it will say.

    Asking takes a microsecond, a twentieth of a command on SQLite. The SDK's own samplers look at nothing but the trace
    id and the parent, and their descriptions say how; of any other nothing is known, and it is asked about every
    message, with the attributes that the span will have.
    """

    def __init__(self, tracer: Tracer, sampler: Sampler) -> None:
        self._sampler = sampler
        self.new_trace_id: Callable[[], int] = tracer.id_generator.generate_trace_id
        self._new_span_id = tracer.id_generator.generate_span_id
        self.bound: int | None = None
        """Roots are dropped whose id has its low bits at or above this; None where only the sampler knows."""
        self._follows_parent = False
        """Whether what has a parent is dropped exactly where that parent is."""
        kind = type(sampler)
        if kind in (ParentBased, ParentBasedTraceIdRatio) and sampler.get_description().endswith(_FOLLOWS):
            self._follows_parent = True
            self.bound = _bound(getattr(sampler, "_root", None))
        elif kind in (StaticSampler, TraceIdRatioBased):
            self.bound = _bound(sampler)
        self.drawing: Drawing | None = None
        """Where roots may be drawn: of ids that somebody else's generator makes nothing is known."""
        if self.bound is not None and type(tracer.id_generator) is RandomIdGenerator:
            self.drawing = Drawing(self.bound)

    def look(self) -> Place | SpanContext | None:
        """Where a span of the running task would begin.

        None where it would be a root that is dropped; the caller's own place where that is not recorded either.
        """
        current = get_current()
        parent = get_current_span(current).get_span_context() if current else None
        if parent is None or not parent.is_valid:
            trace_id = self.new_trace_id()
            bound = self.bound
            if bound is not None and trace_id & LOW_BITS >= bound:
                return None
            return EMPTY, None, trace_id
        if self._follows_parent and not parent.trace_flags & TraceFlags.SAMPLED:
            return parent
        return current, parent, parent.trace_id

    def ask(self, place: Place, name: str, kind: SpanKind, attributes: Attributes) -> SpanContext | None:
        """The context of a span that is to be recorded, or None; adds to `attributes` what the sampler does."""
        current, parent, trace_id = place
        if (parent is None and self.bound is not None) or (parent is not None and self._follows_parent):
            # `look` has decided: what would be dropped never comes here.
            state = None if parent is None else parent.trace_state
            return self._sampled(parent, trace_id, state)
        # Its types leave open what the attributes are.
        result: Any = self._sampler.should_sample(current, trace_id, name, kind, attributes, (), None)
        # What is recorded without being sampled is seen by processors alone, which no exporter hears of.
        if result.decision is not Decision.RECORD_AND_SAMPLE:
            return None
        attributes.update(result.attributes)
        return self._sampled(parent, trace_id, result.trace_state)

    def _sampled(self, parent: SpanContext | None, trace_id: int, state: TraceState | None) -> SpanContext:
        flags = SAMPLED if parent is None else TraceFlags(TraceFlags.SAMPLED | parent.trace_flags)
        return SpanContext(trace_id, self._new_span_id(), False, flags, state)


def current_context() -> Callable[[], Context]:
    """What `get_current` does, without its two calls where the context is kept in a variable, as it is by default."""
    variable: object = getattr(getattr(contexts, "_RUNTIME_CONTEXT", None), "_current_context", None)
    return cast("ContextVar[Context]", variable).get if isinstance(variable, ContextVar) else get_current


def _bound(root: Any) -> int | None:
    if type(root) is TraceIdRatioBased:
        return root.bound
    if type(root) is StaticSampler:
        return 0 if root.get_description() == "AlwaysOffSampler" else LOW_BITS + 1
    return None
