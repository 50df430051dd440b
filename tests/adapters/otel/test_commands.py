"""The spans of commands: who is whose parent, and that nothing is mixed up."""

import anyio
import pytest
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, DEFAULT_ON, ParentBased, ParentBasedTraceIdRatio
from opentelemetry.trace import SpanKind, StatusCode

from bus import Bus, Limits, MemoryEventStore, VersionConflict
from bus.core.errors import CommandFailed, DeadlineExceeded, Rejected
from tests.adapters.otel.recording import Recording, below, context_of, links_of, parent_of
from tests.support.bank import BANK, Deposit, Misbehave, Open, Touch, Withdraw
from tests.support.sending import begin
from tests.support.stores import FakeEventStore, Gate, lost_before, unavailable


async def test_a_command_is_one_trace_from_its_sender_to_its_commit() -> None:
    recording = Recording()
    async with Bus(BANK, telemetry=recording.telemetry) as bus:
        with recording.tracer.start_as_current_span("request") as request:
            receipt = await bus.send(Open("a"), correlation_id="talk")
    send, process, commit = recording.one("send Open"), recording.one("process Open"), recording.one("commit")
    recover = recording.one("recover account")
    assert parent_of(send) == (request.get_span_context().trace_id, request.get_span_context().span_id)
    assert parent_of(process) == context_of(send)
    assert parent_of(commit) == parent_of(recover) == context_of(process)
    assert [one.kind for one in (send, process, commit, recover)] == [
        SpanKind.PRODUCER,
        SpanKind.CONSUMER,
        SpanKind.INTERNAL,
        SpanKind.INTERNAL,
    ]
    assert receipt.trace_id == f"{context_of(send)[0]:032x}"
    times = [send.start_time, process.start_time, commit.start_time, commit.end_time, process.end_time, send.end_time]
    assert times == sorted(times, key=lambda time: time or 0)
    assert dict(process.attributes) | {"doubledecker.mailbox.wait_s": 0} == {
        "doubledecker.message.kind": "command",
        "doubledecker.message.type": "Open",
        "doubledecker.message.id": receipt.command_id,
        "doubledecker.correlation_id": "talk",
        "doubledecker.aggregate.category": "account",
        "doubledecker.aggregate.id": "a",
        "doubledecker.mailbox.wait_s": 0,
        "doubledecker.attempt": 1,
        "doubledecker.aggregate.version_before": 0,
        "doubledecker.aggregate.version_after": 1,
        "doubledecker.events": 1,
        "doubledecker.position": 1,
        "doubledecker.outcome": "ok",
    }


async def test_two_commands_of_two_traces_to_one_aggregate_are_two_traces() -> None:
    recording = Recording()
    store, gate = FakeEventStore(), Gate()
    async with Bus(BANK, event_store=store, telemetry=recording.telemetry) as bus, anyio.create_task_group() as tasks:
        store.script.append(gate.before)
        with recording.tracer.start_as_current_span("first request"):
            await begin(tasks, bus, Open("a"))
        await gate.reached.wait()
        with recording.tracer.start_as_current_span("second request"):
            await begin(tasks, bus, Deposit("a", 1))
        gate.release()
    first, second = recording.one("send Open"), recording.one("send Deposit")
    assert context_of(first)[0] != context_of(second)[0]
    for send, process, request in (
        (first, recording.one("process Open"), recording.one("first request")),
        (second, recording.one("process Deposit"), recording.one("second request")),
    ):
        assert parent_of(send) == context_of(request)
        assert parent_of(process) == context_of(send)
        assert below(process, recording.spans).count("commit") == 1


async def test_every_command_of_a_batch_has_a_commit_span_of_its_own() -> None:
    recording = Recording()
    async with Bus(BANK, telemetry=recording.telemetry) as bus:
        await bus.send_many([Touch("a"), Touch("b"), Touch("c")])
        recording.exporter.clear()
        await bus.send_many([Open("a"), Open("b"), Open("c")])
    commits = recording.named("commit")
    assert {parent_of(one) for one in commits} == {context_of(one) for one in recording.named("process Open")}
    assert [dict(one.attributes) for one in commits] == [
        {
            "doubledecker.batch.number": 1,
            "doubledecker.batch.commands": 3,
            "doubledecker.batch.events": 3,
            "doubledecker.outcome": "ok",
        }
    ] * 3
    assert len({(one.start_time, one.end_time) for one in commits}) == 1, "it is one transaction"


async def test_a_rejection_is_an_outcome_and_no_error() -> None:
    recording = Recording()
    async with Bus(BANK, telemetry=recording.telemetry) as bus:
        with pytest.raises(Rejected):
            await bus.send(Withdraw("a", 1))
    for span in (recording.one("send Withdraw"), recording.one("process Withdraw")):
        assert span.attributes["doubledecker.outcome"] == "rejected"
        assert span.attributes["doubledecker.code"] == "rejected.overdrawn"
        assert "error.type" not in span.attributes
        assert span.status.status_code is StatusCode.UNSET
    assert recording.records == []


async def test_a_bug_is_an_error_and_its_exception_a_record_without_its_words() -> None:
    recording = Recording()
    async with Bus(BANK, telemetry=recording.telemetry) as bus:
        with pytest.raises(CommandFailed):
            await bus.send(Misbehave("a", "raise"))
    process = recording.one("process Misbehave")
    assert process.status.status_code is StatusCode.ERROR
    assert process.attributes["error.type"] == "command-failed"
    assert not process.events, "an exception is no event of a span"
    ((body, attributes, trace_id),) = recording.records
    assert body == "command Misbehave failed"
    assert attributes["exception.type"] == "builtins.ZeroDivisionError"
    assert "misbehave" in attributes["exception.stacktrace"]
    assert trace_id == context_of(process)[0]


async def test_an_attempt_that_another_writer_came_before_is_linked_to_by_the_next() -> None:
    recording = Recording()
    store = FakeEventStore(shared=True)
    async with Bus(BANK, event_store=store, telemetry=recording.telemetry) as bus:
        await bus.send(Open("a"))
        recording.exporter.clear()
        await store.foreign("account-a", ("deposited", b'{"amount":1}'))
        await bus.send(Deposit("a", 1))
    first, second = recording.named("process Deposit")
    send = recording.one("send Deposit")
    assert parent_of(first) == parent_of(second) == context_of(send)
    assert (links_of(first), links_of(second)) == ([], [context_of(first)])
    assert [span.attributes["doubledecker.attempt"] for span in (first, second)] == [1, 2]
    assert [span.attributes["doubledecker.outcome"] for span in (first, second, send)] == ["conflict", "ok", "ok"]
    assert [span.attributes["doubledecker.outcome"] for span in recording.named("commit")] == ["conflict", "ok"]
    assert parent_of(recording.one("recover account")) == context_of(second)


async def test_a_wrong_expectation_is_a_conflict() -> None:
    recording = Recording()
    async with Bus(BANK, telemetry=recording.telemetry) as bus:
        with pytest.raises(VersionConflict):
            await bus.send(Open("a"), expected_version=7)
    assert recording.one("send Open").attributes["doubledecker.outcome"] == "conflict"


async def test_a_cancelled_send_still_ends_its_span() -> None:
    recording = Recording()
    store, gate = FakeEventStore(), Gate()
    async with Bus(BANK, event_store=store, telemetry=recording.telemetry) as bus, anyio.create_task_group() as tasks:
        store.script.append(gate.before)
        staged = await begin(tasks, bus, Open("a"))
        await gate.reached.wait()
        waiting = await begin(tasks, bus, Deposit("a", 1))
        staged.cancel()
        waiting.cancel()
        gate.release()
    assert recording.one("send Open").attributes["doubledecker.outcome"] == "ok", "it was on its way and is recorded"
    assert recording.one("send Deposit").attributes["doubledecker.outcome"] == "cancelled"
    assert recording.named("process Deposit") == [], "it was never decided"


async def test_a_deadline_that_passes_in_the_mailbox_is_a_timeout() -> None:
    recording = Recording()
    store, gate = FakeEventStore(), Gate()
    async with Bus(BANK, event_store=store, telemetry=recording.telemetry) as bus, anyio.create_task_group() as tasks:
        store.script.append(gate.before)
        await begin(tasks, bus, Open("a"))
        await gate.reached.wait()
        with pytest.raises(DeadlineExceeded):
            await bus.send(Deposit("a", 1), timeout=0.01)
        gate.release()
    send = recording.one("send Deposit")
    assert send.attributes["doubledecker.outcome"] == "timeout"
    assert send.attributes["error.type"] == "deadline-exceeded"
    assert send.status.status_code is StatusCode.ERROR


async def test_who_joins_a_command_in_flight_has_a_span_in_the_own_trace() -> None:
    recording = Recording()
    store, gate = FakeEventStore(), Gate()
    async with Bus(BANK, event_store=store, telemetry=recording.telemetry) as bus, anyio.create_task_group() as tasks:
        store.script.append(gate.before)
        await begin(tasks, bus, Open("a"), command_id="x")
        await gate.reached.wait()
        await begin(tasks, bus, Open("a"), command_id="x")
        gate.release()
        await bus.wait_settled()
        assert (await bus.send(Open("a"), command_id="x")).duplicate
    outcomes = [span.attributes["doubledecker.outcome"] for span in recording.named("send Open")]
    assert outcomes == ["ok", "duplicate", "duplicate"]
    assert [span.attributes["doubledecker.outcome"] for span in recording.named("process Open")] == ["ok", "duplicate"]
    assert len({context_of(span)[0] for span in recording.named("send Open")}) == 3


async def test_a_store_that_is_down_fails_recovery_and_commit_as_errors() -> None:
    recording = Recording()
    store = FakeEventStore()
    async with Bus(BANK, event_store=store, telemetry=recording.telemetry) as bus:
        store.read_fault = OSError("gone")
        (failed,) = await bus.send_many([Open("a")])
        store.read_fault = None
        assert getattr(failed, "code", None) == "store-unavailable"
        recover = recording.one("recover account")
        assert recover.attributes["error.type"] == "store-unavailable"
        assert parent_of(recover) == context_of(recording.one("process Open"))
        recording.exporter.clear()
        store.script.append(unavailable)
        await bus.send_many([Open("a")])
    process, commit = recording.one("process Open"), recording.one("commit")
    assert process.attributes["error.type"] == commit.attributes["error.type"] == "store-unavailable"
    assert (parent_of(commit), commit.status.status_code) == (context_of(process), StatusCode.ERROR)


async def test_a_commit_that_failed_is_told_with_all_that_it_had() -> None:
    recording = Recording()
    store = FakeEventStore()
    async with Bus(BANK, event_store=store, telemetry=recording.telemetry, limits=Limits(append_attempts_max=1)) as bus:
        await bus.send_many([Open("a"), Open("b")])
        recording.exporter.clear()
        store.script.append(lost_before)
        await bus.send_many([Deposit("a", 1), Deposit("b", 1)])
        await bus.send(Deposit("a", 1))
    failed, other, good = recording.named("commit")
    assert (
        dict(failed.attributes)
        == dict(other.attributes)
        == {
            "doubledecker.batch.number": 2,
            "doubledecker.batch.commands": 2,
            "doubledecker.batch.events": 2,
            "doubledecker.outcome": "error",
            "error.type": "outcome-unknown",
        }
    )
    assert (good.attributes["doubledecker.batch.number"], good.status.status_code) == (3, StatusCode.UNSET)


async def test_the_cause_that_a_sender_names_is_told() -> None:
    recording = Recording()
    async with Bus(BANK, telemetry=recording.telemetry) as bus:
        await bus.send(Open("a"), causation_id="the cause")
    for name in ("send Open", "process Open"):
        assert recording.one(name).attributes["doubledecker.causation_id"] == "the cause"


async def test_a_caller_that_is_not_recorded_is_followed_and_costs_no_span() -> None:
    recording = Recording(ParentBased(ALWAYS_OFF))
    async with Bus(BANK, telemetry=recording.telemetry) as bus:
        with recording.tracer.start_as_current_span("request") as request:
            receipt = await bus.send(Open("a"))
        again = await bus.send(Deposit("a", 1))
        (first, second) = [event async for event in bus.events()]
    context = request.get_span_context()
    assert first.traceparent == f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
    assert receipt.trace_id == f"{context.trace_id:032x}"
    assert (second.traceparent, again.trace_id) == (None, None)
    assert recording.spans == []


async def test_of_many_roots_a_share_is_recorded_and_whole() -> None:
    recording = Recording(ParentBasedTraceIdRatio(0.25))
    async with Bus(BANK, telemetry=recording.telemetry) as bus:
        await bus.send_many([Open(str(number)) for number in range(1_000)])
    sends = recording.named("send Open")
    assert 150 < len(sends) < 350
    assert {parent_of(one) for one in recording.named("process Open")} == {context_of(one) for one in sends}
    assert len(recording.named("commit")) == len(sends)


async def test_ids_of_aggregates_can_be_left_out() -> None:
    recording = Recording(DEFAULT_ON, aggregate_ids=False)
    async with Bus(BANK, telemetry=recording.telemetry) as bus:
        await bus.send(Open("a"))
    assert len(recording.spans) == 4
    assert not [span.name for span in recording.spans if "doubledecker.aggregate.id" in span.attributes]


async def test_a_restarted_bus_is_not_in_the_context_of_whoever_opened_it() -> None:
    recording = Recording()
    store = MemoryEventStore()
    with recording.tracer.start_as_current_span("start of the program") as start:
        async with Bus(BANK, event_store=store, telemetry=recording.telemetry, limits=Limits()) as bus:
            with recording.tracer.start_as_current_span("request") as request:
                await bus.send(Open("a"))
    request_id = request.get_span_context().span_id
    assert [span.name for span in recording.spans if span.parent and span.parent.span_id == request_id] == ["send Open"]
    start_id = start.get_span_context().span_id
    assert [span.name for span in recording.spans if span.parent and span.parent.span_id == start_id] == ["request"]
