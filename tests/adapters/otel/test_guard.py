"""A telemetry that fails harms nobody, and says so once."""

import logging
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.sampling import Sampler

from adapters.otel.guard import Guard
from bus import Bus
from tests.adapters.otel.recording import Recording
from tests.support.ledger import LEDGER, Deposit


class Broken(SpanProcessor):
    def on_end(self, span: ReadableSpan) -> None:
        raise ZeroDivisionError("a bug in a processor")


class BrokenSampler(Sampler):
    def should_sample(self, *arguments: Any, **options: Any) -> Any:
        raise ZeroDivisionError("a bug in a sampler")

    def get_description(self) -> str:
        return "BrokenSampler"


def test_each_type_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    guard = Guard()
    for error in (ValueError("one"), ValueError("two"), KeyError("three")):
        guard.complain(error)
    assert [record.getMessage().split(";")[0] for record in caplog.records] == [
        "telemetry raised ValueError",
        "telemetry raised KeyError",
    ]


async def test_a_processor_that_raises_harms_no_command(caplog: pytest.LogCaptureFixture) -> None:
    recording = Recording()
    recording.tracers.add_span_processor(Broken())
    async with Bus(LEDGER, telemetry=recording.telemetry) as bus:
        await bus.wait_projected(await bus.send(Deposit("a")))
        assert bus.statistics().restarts == 0
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


async def test_a_sampler_that_raises_harms_no_command(caplog: pytest.LogCaptureFixture) -> None:
    recording = Recording(BrokenSampler())
    async with Bus(LEDGER, telemetry=recording.telemetry) as bus:
        assert (await bus.send(Deposit("a"))).trace_id is None
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
