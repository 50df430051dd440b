"""A record of an exception says where it was raised, and nothing of what it says."""

from typing import Any

from opentelemetry._logs import SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.trace import SpanContext, TraceFlags

from adapters.otel.exceptions import Exceptions
from bus.core.errors import CommandFailed


def told(error: BaseException, place: SpanContext | None, **options: Any) -> Any:
    exporter = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call]
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    Exceptions(provider.get_logger("test")).tell("command Open failed", error, place, **options)
    (record,) = exporter.get_finished_logs()
    return record.log_record


def raised() -> CommandFailed:
    try:
        raise ValueError("Ada Lovelace, born 1815")
    except ValueError as error:
        failed = CommandFailed("Ada Lovelace, born 1815")
        failed.__cause__ = error
        return failed


def test_it_names_the_cause_and_its_place_without_its_words() -> None:
    record = told(raised(), SpanContext(7, 8, False, TraceFlags(1)))
    assert record.attributes["exception.type"] == "builtins.ValueError"
    assert "in raised" in record.attributes["exception.stacktrace"]
    assert record.attributes["doubledecker.code"] == "command-failed"
    assert (record.trace_id, record.span_id) == (7, 8)
    assert (record.severity_number, record.event_name) == (SeverityNumber.ERROR, "exception")
    assert "Lovelace, born" not in repr(record.body) + repr(list(record.attributes.values())[:1])


def test_what_is_tried_again_is_a_warning() -> None:
    record = told(OSError("gone"), None, is_retried=True)
    assert record.severity_number is SeverityNumber.WARN
    assert not record.trace_id
