"""Spans are built from times of the bus's clock, and read from stored headers."""

from datetime import UTC, datetime

import pytest
from opentelemetry.sdk.trace import Tracer
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, TraceFlags

from adapters.otel.spans import Spans, sampled_context, traceparent_of
from tests.adapters.otel.recording import Recording

HEADER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Clock:
    """Ten seconds after it was made, on the first of January."""

    def monotonic(self) -> float:
        return 10.0

    def now(self) -> datetime:
        return datetime(2013, 1, 1, tzinfo=UTC)


def test_a_header_is_read_where_it_says_sampled() -> None:
    context = sampled_context(HEADER)
    assert context is not None
    assert traceparent_of(context) == HEADER
    assert context.is_remote


@pytest.mark.parametrize(
    "header",
    [
        "",
        "nonsense",
        HEADER[:-1] + "0",
        HEADER[:-2] + "0",
        "00-" + "0" * 32 + HEADER[35:],
        HEADER[:10] + "x" + HEADER[11:],
    ],
)
def test_what_is_no_header_or_not_sampled_names_no_place(header: str) -> None:
    assert sampled_context(header) is None


def test_times_become_times_of_day() -> None:
    recording = Recording()
    tracer = recording.tracers.get_tracer("test")
    assert isinstance(tracer, Tracer)
    spans = Spans(tracer, InstrumentationScope("test"))
    spans.follow(Clock())
    parent = SpanContext(1, 2, False, TraceFlags(1))
    context = spans.child(parent)
    spans.finish("commit", SpanKind.INTERNAL, context, parent, {}, start=9.0, end=10.0)
    (span,) = recording.spans
    midnight = int(datetime(2013, 1, 1, tzinfo=UTC).timestamp()) * 10**9
    assert (span.start_time, span.end_time) == (midnight - 10**9, midnight)
    assert context.trace_id == 1
    assert spans.now_s == midnight / 1e9
    assert spans.root().trace_flags.sampled
