"""Recording: the SDK with its own exporters into memory, and a telemetry on it."""

from collections.abc import Mapping, Sequence
from typing import Any

from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import Sampler

from adapters.otel import OtelTelemetry


class Recording:
    """What was exported."""

    def __init__(self, sampler: Sampler | None = None, **options: Any) -> None:
        self.exporter = InMemorySpanExporter()
        self.tracers = TracerProvider(sampler=sampler, shutdown_on_exit=False)
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = self.tracers.get_tracer("the caller")
        self.measured: dict[str, list[Any]] = {}
        """Metrics that a test kept for later."""
        self._reader = InMemoryMetricReader()
        self._records = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call]
        loggers = LoggerProvider(shutdown_on_exit=False)
        loggers.add_log_record_processor(SimpleLogRecordProcessor(self._records))
        self.telemetry = OtelTelemetry(
            tracer_provider=self.tracers,
            meter_provider=MeterProvider([self._reader], shutdown_on_exit=False),
            logger_provider=loggers,
            **options,
        )

    @property
    def spans(self) -> list[Any]:
        """In the order in which they ended; their own type leaves open whether they have attributes."""
        return list(self.exporter.get_finished_spans())

    def named(self, name: str) -> list[Any]:
        return [span for span in self.spans if span.name == name]

    def one(self, name: str) -> Any:
        (span,) = self.named(name)
        return span

    @property
    def records(self) -> list[tuple[str, Mapping[str, Any], int]]:
        """Body, attributes and trace id of each record of an exception."""
        found = [one.log_record for one in self._records.get_finished_logs()]
        return [(str(one.body), dict(one.attributes or {}), one.trace_id or 0) for one in found]

    def metrics(self) -> dict[str, list[Any]]:
        """The data points by the metric's name; those of sums and gauges have a `value`, of histograms a `count`."""
        data: Any = self._reader.get_metrics_data()
        found: dict[str, list[Any]] = {}
        for resource in data.resource_metrics if data is not None else ():
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    found[metric.name] = list(metric.data.data_points)
        return found

    def values(self, name: str) -> dict[tuple[str, ...], Any]:
        """Value, or count, by the values of the labels."""
        return {
            tuple(dict(point.attributes).values()): point.count if hasattr(point, "count") else point.value
            for point in self.metrics().get(name, ())
        }


def context_of(span: ReadableSpan) -> tuple[int, int]:
    """Trace and span id."""
    context = span.get_span_context()
    assert context is not None
    return context.trace_id, context.span_id


def parent_of(span: ReadableSpan) -> tuple[int, int] | None:
    """Those of its parent."""
    return None if span.parent is None else (span.parent.trace_id, span.parent.span_id)


def links_of(span: ReadableSpan) -> list[tuple[int, int]]:
    return [(link.context.trace_id, link.context.span_id) for link in span.links]


def below(parent: ReadableSpan, spans: Sequence[ReadableSpan]) -> list[str]:
    """Names of the spans whose parent that is."""
    return [span.name for span in spans if parent_of(span) == context_of(parent)]
