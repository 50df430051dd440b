"""The log: one logger of the standard library, under the library's name; an entry is a line in one form."""

import io
import json
import logging
import sys

import pytest

from bus.core.errors import BusError, CommandFailed, StoreUnavailable
from bus.runtime.log import FIELDS, LogFormatter, log, placed, rendered, told

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_entries_reach_the_standard_library_as_json(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="doubledecker"):
        log.warning("something happened", store="memory:", command_id="x", code="a-code", **placed(TRACE))
        log.info("not asked for")
    ((name, level, text),) = [(one.name, one.levelname, one.getMessage()) for one in caplog.records]
    assert (name, level) == ("doubledecker", "WARNING")
    entry = json.loads(text)
    assert list(entry) == ["timestamp", "level", "event", "code", "trace_id", "span_id", "command_id", "store"]
    assert entry["trace_id"] == "0af7651916cd43dd8448eb211c80319c"
    assert entry["span_id"] == "b7ad6b7169203331"
    assert entry["timestamp"].endswith("Z")


def test_people_at_a_terminal_get_words(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    entry = {"store": "memory:", "event": "something happened", "level": "warning"}
    assert rendered(entry).startswith("{")
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert rendered(entry) == "level='warning' event='something happened' store='memory:'"


def test_fields_come_in_one_order() -> None:
    entry = json.loads(rendered({"other": 1} | dict.fromkeys(reversed(FIELDS), "x")))
    assert list(entry) == [*FIELDS, "other"]


def test_an_exception_is_logged_with_its_type_and_place_and_without_its_words(
    caplog: pytest.LogCaptureFixture,
) -> None:
    try:
        raise ZeroDivisionError("Ada Lovelace")
    except ZeroDivisionError:
        log.exception("task crashed", task="dispatcher")
    entry = json.loads(caplog.records[0].getMessage())
    assert entry["error"].startswith("ZeroDivisionError at ")
    assert "test_log.py" in entry["stack"]
    assert "Ada" not in entry["error"]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (StoreUnavailable("the store is away"), "StoreUnavailable: the store is away"),
        (CommandFailed("Ada Lovelace"), "CommandFailed"),
        (ValueError("Ada Lovelace"), "ValueError"),
        (BusError("of ours"), "BusError: of ours"),
    ],
)
def test_only_what_the_bus_itself_says_is_told(error: Exception, words: str) -> None:
    assert told(error) == words


def test_a_failed_command_is_told_by_its_cause() -> None:
    failed = CommandFailed("Ada Lovelace")
    failed.__cause__ = KeyError("Ada")
    assert told(failed) == "KeyError"


def test_what_is_no_trace_context_names_no_place() -> None:
    assert placed(None) == placed("nonsense") == {}


def formatted(record: logging.LogRecord) -> dict[str, object]:
    entry: dict[str, object] = json.loads(LogFormatter().format(record))
    return entry


def test_a_handlers_formatter_leaves_the_librarys_entries_as_they_are(caplog: pytest.LogCaptureFixture) -> None:
    log.warning("something happened", store="memory:")
    entry = formatted(caplog.records[0])
    assert (entry["event"], entry["store"], entry["level"]) == ("something happened", "memory:", "warning")


def test_those_of_others_get_the_same_form_without_what_exceptions_say() -> None:
    try:
        raise ValueError("Ada Lovelace")
    except ValueError:
        record = logging.LogRecord("asyncio", logging.ERROR, "x.py", 1, "it %s", ("broke",), sys.exc_info())
    told = formatted(record)
    assert list(told) == ["timestamp", "level", "event", "logger", "error"]
    assert (told["event"], told["logger"], told["level"]) == ("it broke", "asyncio", "error")
    assert str(told["error"]).startswith("ValueError at ")
