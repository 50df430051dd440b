"""Personal data that tests plant where the application's code and messages have some: it must be nowhere in the log."""

import logging
from typing import Final

PLANTED: Final = "Ada Lovelace, 1815-12-10"


class Watch(logging.Handler):
    """Notes the entries of the library's own logger, as they are rendered, that hold planted data."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.leaks: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if PLANTED in record.getMessage():
            self.leaks.append(record.getMessage())
