"""A program's entries have one form, whoever wrote them."""

import json
import logging
import sys

import pytest

from adapters.cli.logs import Entries
from bus.runtime.log import log


def entry(record: logging.LogRecord) -> dict[str, object]:
    told: dict[str, object] = json.loads(Entries().format(record))
    return told


def test_the_librarys_entries_are_left_as_they_are(caplog: pytest.LogCaptureFixture) -> None:
    log.warning("something happened", store="memory:")
    told = entry(caplog.records[0])
    assert (told["event"], told["store"], told["level"]) == ("something happened", "memory:", "warning")


def test_those_of_others_get_the_same_form_without_what_exceptions_say() -> None:
    try:
        raise ValueError("Ada Lovelace")
    except ValueError:
        record = logging.LogRecord("asyncio", logging.ERROR, "x.py", 1, "it %s", ("broke",), sys.exc_info())
    told = entry(record)
    assert list(told) == ["timestamp", "level", "event", "logger", "error"]
    assert (told["event"], told["logger"], told["level"]) == ("it broke", "asyncio", "error")
    assert str(told["error"]).startswith("ValueError at ")
