"""OpenTelemetry: one trace from command to view, metrics and records of exceptions; `telemetry=OtelTelemetry()`."""

from adapters.otel.telemetry import OtelTelemetry

__all__ = ["OtelTelemetry"]
