"""What is declared is what is emitted, and how Prometheus calls it."""

from adapters.otel.declared import METRICS


def test_series_are_named_as_the_exporter_of_prometheus_names_them() -> None:
    names = {metric.name: metric.prometheus for metric in METRICS}
    assert names["doubledecker.commands"] == "doubledecker_commands_total"
    assert names["doubledecker.command.duration"] == "doubledecker_command_duration_seconds"
    assert names["doubledecker.projection.lag.events"] == "doubledecker_projection_lag_events"
    assert names["doubledecker.projection.lag"] == "doubledecker_projection_lag_seconds"
