"""Providers are the application's own, or made from the environment and ended here."""

import pytest
from opentelemetry import metrics, trace
from opentelemetry._logs import NoOpLoggerProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider

from adapters.otel.providers import providers


@pytest.fixture(autouse=True)
def _nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    for signal in ("TRACES", "METRICS", "LOGS"):
        monkeypatch.setenv(f"OTEL_{signal}_EXPORTER", "none")


def test_those_given_are_taken_and_left_open() -> None:
    tracers, meters = TracerProvider(shutdown_on_exit=False), MeterProvider(shutdown_on_exit=False)
    found = providers(tracers, meters, NoOpLoggerProvider())
    assert found.tracers is tracers
    assert found.meters is meters
    assert found.shutdowns == ()


def test_the_global_one_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    tracers = TracerProvider(shutdown_on_exit=False)
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: tracers)
    assert providers(None, None, None).tracers is tracers


def test_new_ones_are_made_as_the_environment_says_and_ended_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "otlp")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "traffic")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.25")
    found = providers(None, None, None)
    assert isinstance(found.tracers, TracerProvider)
    assert found.tracers.sampler.get_description() == "TraceIdRatioBased{0.25}"
    assert found.tracers.resource.attributes["service.name"] == "traffic"
    assert isinstance(found.meters, metrics.NoOpMeterProvider)
    (shutdown,) = found.shutdowns
    shutdown()


def test_nothing_is_made_where_the_sdk_is_disabled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "otlp")
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    assert isinstance(providers(None, None, None).tracers, trace.NoOpTracerProvider)


def test_an_exporter_that_is_not_made_here_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "zipkin")
    with pytest.raises(ValueError, match="set it to otlp or none"):
        providers(None, None, None)
