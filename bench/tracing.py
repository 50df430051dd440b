"""Tracing: what the telemetry costs commands, with one in a hundred and with all of them recorded."""

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from opentelemetry._logs import NoOpLoggerProvider
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio

from adapters.otel import OtelTelemetry
from adapters.sqlite import SqliteEventStore
from bench.commands import BANK
from bench.limits import AccountCommand, deposits, drive, openings
from bench.measure import Line, Settings, folder, frozen_heap, in_turns, line, short_waits
from bus import Bus
from bus.ports import Telemetry

TARGETS = {("sqlite", 1): 0.95, ("sqlite", 100): 0.2}
"""By store and percentage: the share of the commands a second without telemetry that must remain."""


class Dropping(SpanExporter):
    """Takes what the SDK hands it."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return SpanExportResult.SUCCESS


class Encoding(SpanExporter):
    """Encodes as for the network too, and sends nothing: no server takes part in the measurement."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        encode_spans(spans).SerializeToString()
        return SpanExportResult.SUCCESS


def tracing(settings: Settings) -> Iterator[Line]:
    """Commands a second with the SDK and its queue, against none in the same turn; then with its encoding too."""
    # A queue that is full is what it is for; the SDK says so for each span.
    logging.getLogger("opentelemetry").setLevel(logging.ERROR)
    # As in a worker's process: the exporter's thread must not keep the loop's waiting.
    with short_waits():
        for store, exporter in (("memory", Dropping), ("sqlite", Dropping), ("sqlite", Encoding)):
            for percent in (1, 100):
                clients = settings.clients or 64
                count = settings.commands or (100_000 if percent == 1 else 30_000)
                measured = in_turns(
                    settings.turns,
                    _measured(store, percent, count, clients, exporter),
                    _measured(store, 0, count, clients, exporter),
                )
                yield line(
                    f"tracing.{store} {percent} %{'' if exporter is Dropping else ', encoded'}",
                    measured,
                    "commands/s",
                    at_least=TARGETS.get((store, percent)) if exporter is Dropping else None,
                    clients=clients,
                    commands=count,
                )


def _measured(store: str, percent: int, count: int, clients: int, exporter: type[SpanExporter]) -> Callable[[], float]:
    commands = deposits(count)

    def on_disk() -> float:
        with folder() as path:
            return asyncio.run(_rate(path / "bus.db", percent, commands, clients, exporter()))

    def in_memory() -> float:
        return asyncio.run(_rate(None, percent, commands, clients, exporter()))

    return on_disk if store == "sqlite" else in_memory


async def _rate(
    path: Path | None, percent: int, commands: Sequence[AccountCommand], clients: int, exporter: SpanExporter
) -> float:
    tracers = TracerProvider(sampler=ParentBasedTraceIdRatio(percent / 100), shutdown_on_exit=False)
    tracers.add_span_processor(BatchSpanProcessor(exporter))
    meters = MeterProvider([InMemoryMetricReader()], shutdown_on_exit=False)
    telemetry: Telemetry | None = None
    if percent:
        telemetry = OtelTelemetry(tracer_provider=tracers, meter_provider=meters, logger_provider=NoOpLoggerProvider())
    store = None if path is None else SqliteEventStore(path)
    async with Bus(BANK, event_store=store, telemetry=telemetry) as bus:
        await drive(bus.send, openings(), clients)
        with frozen_heap():
            seconds = await drive(bus.send, commands, clients)
    tracers.shutdown()
    meters.shutdown()
    return len(commands) / seconds
