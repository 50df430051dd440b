"""Whatever is declared is emitted; and what there is no provider for is not missed."""

from collections.abc import Sequence
from typing import Annotated

import pytest
from opentelemetry import trace
from opentelemetry._logs import NoOpLoggerProvider
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk.trace import TracerProvider

from adapters.otel import OtelTelemetry
from adapters.otel.declared import ATTRIBUTES, FIELD, METRICS, SPANS
from bus import (
    SAFE,
    STOP,
    Application,
    Bus,
    BusError,
    Command,
    Decider,
    Event,
    MemoryViewStore,
    Projection,
    Query,
    QueryFailed,
    Recorded,
    State,
    View,
    Views,
)
from tests.adapters.otel.recording import Recording
from tests.support import ledger
from tests.support.asking import Ask, asking
from tests.support.bank import ACCOUNT, Misbehave, Open, Withdraw
from tests.support.ledger import LEDGER, Deposit, GetBalance
from tests.support.stores import FakeEventStore, lost_before, unavailable


class PutLabel(Command):
    id: str
    colour: Annotated[str, SAFE]
    owner: str


class LabelPut(Event, tag="label-put"):
    colour: Annotated[str, SAFE]
    owner: str


class FindLabel(Query[str]):
    colour: Annotated[str, SAFE]
    owner: str


class Labels(State): ...


class Label(View): ...


def decide(command: PutLabel, labels: Labels) -> Sequence[LabelPut]:
    return [LabelPut(command.colour, command.owner)]


def evolve(labels: Labels, event: LabelPut) -> Labels:
    return labels


def project(label: Label | None, recorded: Recorded[LabelPut], key: str) -> Label:
    return Label()


async def find(query: FindLabel, views: Views) -> str:
    return query.owner


LABELS = Application(
    deciders=[Decider(category="label", initial=Labels(), identify=lambda one: one.id, decide=decide, evolve=evolve)],
    projections=[
        Projection(
            name="labels",
            version=1,
            view=Label,
            project=project,
            key=lambda recorded: recorded.stream_id,
            on_poison=STOP,
        )
    ],
    query_handlers=[find],
)


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
        events.script.append(unavailable)
        await bus.send_many([Open("d")])
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
    async with Bus(LABELS, view_store=MemoryViewStore(), telemetry=recording.telemetry) as bus:
        await bus.wait_projected(await bus.send(PutLabel("a", "red", "Ada")))
        await bus.query(FindLabel("red", "Ada"))
    # It stopped in between for long.
    recording.telemetry._readers._live_age_max_s = 0.0  # type: ignore[union-attr]
    async with Bus(LEDGER, event_store=events, view_store=MemoryViewStore(), telemetry=recording.telemetry) as bus:
        await bus.wait_settled()


def as_declared(key: str) -> str:
    return f"{FIELD}<name>" if key.startswith(FIELD) else key


async def test_every_declared_span_and_attribute_is_emitted_and_no_other() -> None:
    recording = Recording()
    await everything(recording)
    emitted: dict[str, set[str]] = {}
    for span in recording.spans:
        emitted.setdefault(span.name.split()[0], set()).update(map(as_declared, span.attributes))
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
        found = [
            value
            for span in recording.spans
            for key, value in span.attributes.items()
            if as_declared(key) == attribute.key
        ]
        wanted = {types[name] for name in attribute.type.replace(" or", ",").split(", ")}
        assert found
        assert {type(value) for value in found} <= wanted, attribute.key


async def test_of_the_fields_of_messages_spans_have_the_safe_ones_alone() -> None:
    recording = Recording()
    async with Bus(LABELS, view_store=MemoryViewStore(), telemetry=recording.telemetry) as bus:
        await bus.wait_projected(await bus.send(PutLabel("a", "red", "Ada")))
        await bus.query(FindLabel("red", "Ada"))
    for name in ("send PutLabel", "process PutLabel", "project labels", "query FindLabel"):
        fields = {key: value for key, value in recording.one(name).attributes.items() if key.startswith(FIELD)}
        assert fields == {"doubledecker.field.colour": "red"}
    assert all("Ada" not in span.to_json() for span in recording.spans)


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
