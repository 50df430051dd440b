"""The log: one logger of the standard library, under the library's name."""

import logging

import pytest

from bus.runtime.log import log


def test_entries_reach_the_standard_library(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="doubledecker"):
        log.warning("something happened", store="memory:", attempt=2)
        log.info("not asked for")
    assert [(one.name, one.levelname, one.getMessage()) for one in caplog.records] == [
        ("doubledecker", "WARNING", "event='something happened' store='memory:' attempt=2")
    ]


def test_an_exception_is_logged_with_its_place(caplog: pytest.LogCaptureFixture) -> None:
    try:
        raise ZeroDivisionError("a bug")
    except ZeroDivisionError:
        log.exception("task crashed", task="dispatcher")
    assert "ZeroDivisionError: a bug" in caplog.text
    assert "test_log.py" in caplog.text
