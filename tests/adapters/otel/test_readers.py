"""The spans of projectors and queries: below the command when it is fresh, linked to it when it is not."""

import pytest
from opentelemetry.sdk.trace.sampling import DEFAULT_OFF
from opentelemetry.trace import SpanKind, StatusCode

from bus import Bus, MemoryEventStore, MemoryViewStore
from bus.core.errors import QueryError
from tests.adapters.otel.recording import Recording, context_of, links_of, parent_of
from tests.support.asking import Ask, asking
from tests.support.ledger import LEDGER, Deposit, GetBalance, record


async def test_a_live_event_is_projected_in_the_trace_of_its_command() -> None:
    recording = Recording()
    async with Bus(LEDGER, telemetry=recording.telemetry) as bus:
        receipt = await bus.send(Deposit("a", times=2))
        await bus.wait_projected(receipt)
    send = recording.one("send Deposit")
    spans = recording.named("project balances")
    assert [parent_of(span) for span in spans] == [context_of(send)] * 2
    assert spans[1].kind is SpanKind.CONSUMER
    assert dict(spans[1].attributes) == {
        "doubledecker.message.kind": "event",
        "doubledecker.message.type": "Deposited",
        "doubledecker.message.id": "2",
        "doubledecker.correlation_id": receipt.command_id,
        "doubledecker.causation_id": receipt.command_id,
        "doubledecker.aggregate.category": "account",
        "doubledecker.aggregate.id": "a",
        "doubledecker.aggregate.version_after": 2,
        "doubledecker.position": 2,
        "doubledecker.projection": "balances",
    }
    assert len(recording.named("project journal")) == 2
    assert recording.named("project notes") == [], "it has nothing to do with them"


async def test_a_projector_that_catches_up_links_to_the_commands_of_before_the_restart() -> None:
    recording = Recording(live_age_max_s=0.0)
    events = MemoryEventStore()
    async with Bus(LEDGER, event_store=events, telemetry=recording.telemetry) as bus:
        with recording.tracer.start_as_current_span("request"):
            await bus.wait_projected(await bus.send(Deposit("a", times=2)))
    send = recording.one("send Deposit")
    recording.exporter.clear()
    async with Bus(LEDGER, event_store=events, view_store=MemoryViewStore(), telemetry=recording.telemetry) as bus:
        await bus.wait_settled()
    span = recording.one("project balances")
    assert span.parent is None
    assert context_of(span)[0] != context_of(send)[0]
    assert links_of(span) == [context_of(send)], "a command with two events is linked to once"
    assert dict(span.attributes) == {
        "doubledecker.message.kind": "event",
        "doubledecker.projection": "balances",
        "doubledecker.batch.events": 2,
        "doubledecker.position": 2,
    }


async def test_a_fresh_event_keeps_its_trace_over_a_restart() -> None:
    recording = Recording()
    events = MemoryEventStore()
    async with Bus(LEDGER, event_store=events, telemetry=recording.telemetry) as bus:
        await bus.send(Deposit("a"))
    recording.telemetry.shutdown()
    later = Recording()
    async with Bus(LEDGER, event_store=events, view_store=MemoryViewStore(), telemetry=later.telemetry) as bus:
        await bus.wait_settled()
    assert parent_of(later.one("project balances")) == context_of(recording.one("send Deposit"))


async def test_events_that_were_not_sampled_make_no_span() -> None:
    recording = Recording(DEFAULT_OFF)
    events = MemoryEventStore()
    await record(events, Deposit("a"))
    async with Bus(LEDGER, event_store=events, telemetry=recording.telemetry) as bus:
        with recording.tracer.start_as_current_span("request"):
            await bus.wait_projected(await bus.send(Deposit("a")))
    assert recording.spans == []


async def test_a_query_is_below_whoever_asks() -> None:
    recording = Recording()
    async with Bus(LEDGER, telemetry=recording.telemetry) as bus:
        with recording.tracer.start_as_current_span("request"):
            await bus.query(GetBalance("a"))
        await bus.query(GetBalance("a"))
    below, root = recording.named("query GetBalance")
    assert parent_of(below) == context_of(recording.one("request"))
    assert root.parent is None
    assert dict(root.attributes) == {
        "doubledecker.message.kind": "query",
        "doubledecker.message.type": "GetBalance",
        "doubledecker.outcome": "ok",
    }


async def test_a_query_that_fails_is_an_error_with_a_record_of_where() -> None:
    application, _ = asking(lambda query, views: eval(query.text))
    recording = Recording()
    async with Bus(application, telemetry=recording.telemetry) as bus:
        with pytest.raises(QueryError):
            await bus.query(Ask("1 // 0"))
    span = recording.one("query Ask")
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes["error.type"] == span.attributes["doubledecker.code"] == "query-failed"
    ((body, attributes, trace_id),) = recording.records
    assert (body, attributes["exception.type"]) == ("query Ask failed", "builtins.ZeroDivisionError")
    assert trace_id == context_of(span)[0]


async def test_a_query_that_is_not_sampled_makes_no_span() -> None:
    recording = Recording(DEFAULT_OFF)
    async with Bus(LEDGER, telemetry=recording.telemetry) as bus:
        await bus.query(GetBalance("a"))
        with recording.tracer.start_as_current_span("request"):
            await bus.query(GetBalance("a"))
    assert recording.spans == []
    assert recording.values("doubledecker.queries") == {("GetBalance", "ok"): 2}
