"""Whatever is declared is emitted; and what there is no provider for is not missed."""

import pytest
from opentelemetry import trace
from opentelemetry._logs import NoOpLoggerProvider
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk.trace import TracerProvider

from adapters.otel import OtelTelemetry
from adapters.otel.declared import ATTRIBUTES, METRICS, SPANS
from bus import Application, Bus, BusError, MemoryViewStore, QueryFailed
from tests.adapters.otel.recording import Recording
from tests.support import ledger
from tests.support.asking import Ask, asking
from tests.support.bank import ACCOUNT, Misbehave, Open, Withdraw
from tests.support.ledger import LEDGER, Deposit, GetBalance
from tests.support.stores import FakeEventStore, lost_before


async def everything(recording: Recording) -> None:
    """Something of each kind happens to a bus."""
    events = FakeEventStore(shared=True)
    asked, _ = asking(lambda query, views: eval(query.text))
    async with Bus(
        Application(deciders=[ACCOUNT], query_handlers=asked.query_handlers),
        event_store=events,
        telemetry=recording.telemetry,
    ) as bus:
        await bus.send(Open("a"), causation_id="the cause")
        await events.foreign("account-a", ("opened", b"{}"))
        await bus.send_many([Withdraw("a", 1), Misbehave("a", "raise")])
        events.script.append(lost_before)
        await bus.send(Open("b"))
        events.read_fault = OSError("gone")
        await bus.send_many([Open("c")])
        events.read_fault = None
        with pytest.raises(QueryFailed):
            await bus.query(Ask("1 / 0"))
    events = FakeEventStore()
    await ledger.record(events, Deposit("a"))
    async with Bus(LEDGER, event_store=events, view_store=MemoryViewStore(), telemetry=recording.telemetry) as bus:
        await bus.wait_projected(await bus.send(Deposit("a")))
        await bus.query(GetBalance("a"))
        recording.measured = recording.metrics()
    # It stopped in between for long.
    recording.telemetry._readers._live_age_max_s = 0.0  # type: ignore[union-attr]
    async with Bus(LEDGER, event_store=events, view_store=MemoryViewStore(), telemetry=recording.telemetry) as bus:
        await bus.wait_settled()


async def test_every_declared_span_and_attribute_is_emitted_and_no_other() -> None:
    recording = Recording()
    await everything(recording)
    emitted: dict[str, set[str]] = {}
    for span in recording.spans:
        emitted.setdefault(span.name.split()[0], set()).update(span.attributes)
    declared: dict[str, set[str]] = {span.name.split()[0]: set() for span in SPANS}
    for attribute in ATTRIBUTES:
        for name in attribute.spans:
            declared[name].add(attribute.key)
    assert emitted == declared


async def test_every_declared_metric_is_emitted_with_its_labels_and_no_other() -> None:
    recording = Recording()
    await everything(recording)
    emitted = {
        name: {label for point in points for label in point.attributes} for name, points in recording.measured.items()
    }
    assert emitted == {metric.name: set(metric.labels) for metric in METRICS}


async def test_types_of_attributes_are_as_declared() -> None:
    recording = Recording()
    await everything(recording)
    types = {"string": str, "int": int, "double": float, "boolean": bool}
    for attribute in ATTRIBUTES:
        found = [span.attributes[attribute.key] for span in recording.spans if attribute.key in span.attributes]
        assert {type(value) for value in found} == {types[attribute.type]}, attribute.key


async def test_without_a_provider_of_spans_there_are_metrics_alone() -> None:
    telemetry = OtelTelemetry(
        tracer_provider=trace.NoOpTracerProvider(),
        meter_provider=NoOpMeterProvider(),
        logger_provider=NoOpLoggerProvider(),
    )
    async with Bus(LEDGER, telemetry=telemetry) as bus:
        receipt = await bus.send(Deposit("a"))
        await bus.wait_projected(receipt)
    assert receipt.trace_id is None
    telemetry.shutdown()


def test_a_provider_that_is_not_the_sdks_is_refused() -> None:
    class Foreign(trace.TracerProvider):
        def get_tracer(self, *arguments: object, **options: object) -> trace.Tracer:
            return trace.NoOpTracer()

    with pytest.raises(TypeError, match="Foreign is none"):
        OtelTelemetry(
            tracer_provider=Foreign(), meter_provider=NoOpMeterProvider(), logger_provider=NoOpLoggerProvider()
        )


async def test_a_disabled_sdk_makes_no_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    tracers = TracerProvider(shutdown_on_exit=False)
    telemetry = OtelTelemetry(
        tracer_provider=tracers, meter_provider=NoOpMeterProvider(), logger_provider=NoOpLoggerProvider()
    )
    async with Bus(LEDGER, telemetry=telemetry) as bus:
        assert (await bus.send(Deposit("a"))).trace_id is None


async def test_an_error_of_the_bus_is_raised_as_without_telemetry() -> None:
    recording = Recording()
    bus = Bus(LEDGER, telemetry=recording.telemetry)
    async with bus:
        with pytest.raises(BusError, match="no decider"):
            await bus.send(Open("a"))
    assert recording.values("doubledecker.errors") == {("command", "unknown-command"): 1}
