"""Providers: the application's own where it has set them, else made from the standard `OTEL_*` variables."""

import os
from collections.abc import Callable
from typing import Any, Final

import msgspec
from opentelemetry import metrics, trace
from opentelemetry._logs import LoggerProvider, NoOpLoggerProvider, get_logger_provider
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider as SdkLoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider as SdkMeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider as SdkTracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

_NONE: Final = "none"


class Providers(msgspec.Struct, frozen=True):
    """Where spans, metrics and log records go."""

    tracers: trace.TracerProvider
    meters: metrics.MeterProvider
    loggers: LoggerProvider
    shutdowns: tuple[Callable[[], object], ...]
    """What ends those that were made here, after they have sent what they hold."""


def providers(
    tracers: trace.TracerProvider | None, meters: metrics.MeterProvider | None, loggers: LoggerProvider | None
) -> Providers:
    """Those given, else the global ones, else new ones, which do not become global."""
    shutdowns: list[Callable[[], object]] = []
    chosen = tracers or trace.get_tracer_provider()
    if isinstance(chosen, trace.ProxyTracerProvider):
        chosen = _tracers(shutdowns)
    meters = meters or metrics.get_meter_provider()
    if _is_proxy(meters):
        meters = _meters(shutdowns)
    loggers = loggers or get_logger_provider()
    if _is_proxy(loggers):
        loggers = _loggers(shutdowns)
    return Providers(chosen, meters, loggers, tuple(shutdowns))


def _is_proxy(provider: object) -> bool:
    """Whether nobody has set a provider. Those of metrics and logs have stand-ins that are not public."""
    return type(provider).__name__.startswith("_Proxy")


def _exporter(signal: str) -> str:
    name = os.environ.get(f"OTEL_{signal}_EXPORTER", "otlp").strip().lower() or "otlp"
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return _NONE
    if name not in ("otlp", _NONE):
        raise ValueError(
            f"OTEL_{signal}_EXPORTER={name!r} is not made here: set it to otlp or none, or set a provider of your own "
            "before the bus is opened"
        )
    return name


def _tracers(shutdowns: list[Callable[[], object]]) -> trace.TracerProvider:
    if _exporter("TRACES") == _NONE:
        return trace.NoOpTracerProvider()
    provider = SdkTracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    shutdowns.append(provider.shutdown)
    return provider


def _meters(shutdowns: list[Callable[[], object]]) -> metrics.MeterProvider:
    if _exporter("METRICS") == _NONE:
        return metrics.NoOpMeterProvider()
    provider = SdkMeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter())])
    shutdowns.append(provider.shutdown)
    return provider


def _loggers(shutdowns: list[Callable[[], object]]) -> LoggerProvider:
    if _exporter("LOGS") == _NONE:
        return NoOpLoggerProvider()
    provider: Any = SdkLoggerProvider()
    provider.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter()))
    shutdowns.append(provider.shutdown)
    loggers: LoggerProvider = provider
    return loggers
