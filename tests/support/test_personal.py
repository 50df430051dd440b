"""The watch over the log sees what it is there for."""

import logging

from tests.support.personal import PLANTED, Watch


def test_an_entry_with_planted_data_is_noted() -> None:
    watch = Watch()
    for text in ("nothing", f"account of {PLANTED}"):
        watch.handle(logging.LogRecord("doubledecker", logging.WARNING, "x.py", 1, text, (), None))
    assert watch.leaks == [f"account of {PLANTED}"]
