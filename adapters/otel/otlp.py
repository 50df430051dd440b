"""OTLP: sends traces to one server, for programs that are told where on their command line."""

import os
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from opentelemetry._logs import NoOpLoggerProvider
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.metrics import MeterProvider, NoOpMeterProvider
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio

from adapters.otel.telemetry import OtelTelemetry

QUEUE_SPANS_MAX: Final = 65_536
"""Spans on their way. The SDK's 2,048 are full after a few hundred commands, and then traces have holes."""


@contextmanager
def sending_to(url: str, *, service: str, sampled: float) -> Generator[OtelTelemetry]:
    """Sends the traces of a share of all commands to `url`, such as http://localhost:4318; the rest when it is left.

    `OTEL_TRACES_SAMPLER` and `OTEL_SERVICE_NAME`, where they are set, win. There are no metrics, which Jaeger does not
    take, unless `OTEL_METRICS_EXPORTER` asks for them. Raises `ValueError` for what is no URL.
    """
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"{url!r} is no URL of an OTLP server: write http://host:4318")
    name = os.environ.get("OTEL_SERVICE_NAME") or service
    sampler = None if os.environ.get("OTEL_TRACES_SAMPLER") else ParentBasedTraceIdRatio(sampled)
    tracers = TracerProvider(sampler, Resource.create({"service.name": name}), shutdown_on_exit=False)
    exporter = OTLPSpanExporter(endpoint=f"{url.rstrip('/')}/v1/traces")
    tracers.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=QUEUE_SPANS_MAX))
    meters: MeterProvider | None = None if os.environ.get("OTEL_METRICS_EXPORTER") else NoOpMeterProvider()
    telemetry = OtelTelemetry(tracer_provider=tracers, meter_provider=meters, logger_provider=NoOpLoggerProvider())
    try:
        yield telemetry
    finally:
        tracers.shutdown()
        telemetry.shutdown()
