"""Logs: what a program of ours writes to standard error, every entry in the same form, whoever wrote it."""

import logging
import sys
from datetime import UTC, datetime

from bus.runtime.log import rendered, told


class Entries(logging.Formatter):
    """Entries of the library are in form already; those of others get it, without what their exceptions say."""

    def format(self, record: logging.LogRecord) -> str:
        if record.name == "doubledecker" and record.exc_info is None:
            return record.getMessage()
        moment = datetime.fromtimestamp(record.created, UTC)
        entry: dict[str, object] = {
            "timestamp": moment.isoformat().replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            "logger": record.name,
        }
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            entry["error"] = told(error)
        return rendered(entry)


def write_entries() -> None:
    """Entries go to standard error from now on: the library's from INFO, those of others from WARNING."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Entries())
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    logging.getLogger("doubledecker").setLevel(logging.INFO)
