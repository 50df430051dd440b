"""The head's decision is the sampler's own, whether it is asked or known beforehand."""

from collections.abc import Sequence
from typing import Any

import opentelemetry.context
import pytest
from opentelemetry.context import Context, attach, detach, get_current
from opentelemetry.sdk.trace import Tracer, TracerProvider
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    DEFAULT_OFF,
    DEFAULT_ON,
    Decision,
    ParentBased,
    ParentBasedTraceIdRatio,
    Sampler,
    SamplingResult,
    TraceIdRatioBased,
)
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, TraceFlags, set_span_in_context
from typing_extensions import override

from adapters.otel.sampling import Head, current_context

SAMPLERS = [
    ALWAYS_ON,
    ALWAYS_OFF,
    DEFAULT_ON,
    DEFAULT_OFF,
    TraceIdRatioBased(0.5),
    ParentBasedTraceIdRatio(0.5),
    ParentBasedTraceIdRatio(0.0),
    ParentBased(TraceIdRatioBased(0.5), local_parent_not_sampled=ALWAYS_ON),
]


class Asked(Sampler):
    """Samples the commands of one type, and notes what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Any]] = []

    @override
    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Any = None,
        links: Sequence[Link] | None = None,
        trace_state: Any = None,
    ) -> SamplingResult:
        self.asked.append((name, attributes))
        wanted = attributes.get("wanted", False)
        return SamplingResult(Decision.RECORD_AND_SAMPLE if wanted else Decision.DROP, {"sampler": "asked"})

    def get_description(self) -> str:
        return "Asked"


def head_of(sampler: Sampler) -> Head:
    tracer = TracerProvider(sampler=sampler, shutdown_on_exit=False).get_tracer("test")
    assert isinstance(tracer, Tracer)
    return Head(tracer, sampler)


def decided(head: Head, attributes: Any = None) -> SpanContext | None:
    place = head.look()
    if place is None or isinstance(place, SpanContext):
        return None
    return head.ask(place, "send Open", SpanKind.PRODUCER, attributes if attributes is not None else {})


@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda sampler: sampler.get_description()[:60])
@pytest.mark.parametrize("parent", [None, 0, 1])
def test_the_decision_is_the_samplers(sampler: Sampler, parent: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    head = head_of(sampler)
    for trace_id in (1, 2**63 - 1, 2**63, 2**64 - 1, 2**127 + 2**63 - 1, 2**127 + 2**63):
        monkeypatch.setattr(head, "new_trace_id", lambda trace_id=trace_id: trace_id)
        context = Context()
        if parent is not None:
            place = SpanContext(trace_id, 5, is_remote=True, trace_flags=TraceFlags(parent))
            context = set_span_in_context(NonRecordingSpan(place), context)
        token = attach(context)
        try:
            found = decided(head)
        finally:
            detach(token)
        wanted = sampler.should_sample(context, trace_id, "send Open", SpanKind.PRODUCER).decision
        assert (found is not None) is (wanted is Decision.RECORD_AND_SAMPLE)
        assert found is None or (found.trace_id, found.trace_flags.sampled) == (trace_id, True)


def test_a_sampler_of_which_nothing_is_known_is_asked_with_the_attributes() -> None:
    sampler = Asked()
    head = head_of(sampler)
    attributes: dict[str, Any] = {"wanted": True}
    assert decided(head, attributes) is not None
    assert attributes == {"wanted": True, "sampler": "asked"}
    assert decided(head, {"wanted": False}) is None
    assert [name for name, _ in sampler.asked] == ["send Open"] * 2


def test_the_known_ones_are_not_asked_about_roots_that_they_drop(monkeypatch: pytest.MonkeyPatch) -> None:
    head = head_of(ParentBasedTraceIdRatio(0.01))
    monkeypatch.setattr(head, "new_trace_id", lambda: 2**64 - 1)
    assert head.look() is None


def test_roots_are_drawn_where_the_ids_are_the_sdks_own_and_the_sampler_is_known() -> None:
    assert head_of(ParentBasedTraceIdRatio(0.01)).drawing is not None
    assert head_of(Asked()).drawing is None


@pytest.mark.parametrize("is_found", [True, False])
def test_the_current_context_is_what_the_api_says(is_found: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not is_found:
        monkeypatch.setattr(opentelemetry.context._RUNTIME_CONTEXT, "_current_context", None)
        monkeypatch.setattr(opentelemetry.context._RUNTIME_CONTEXT, "get_current", lambda: Context({"a": 1}))
        assert current_context()() == {"a": 1}
        return
    current = current_context()
    assert current is not get_current
    token = attach(Context({"a": 1}))
    assert current() == get_current() == {"a": 1}
    detach(token)
    assert current() == {}
