"""Log: the library's one logger; it speaks through the standard `logging` module under the name `doubledecker`.

An entry is one line: JSON, or words and values where standard error is a terminal. Of messages it has the fields that
their types declare `SAFE`, and nothing that the application's code or its exceptions say: types and places only.
"""

import logging
import sys
import traceback
from collections.abc import Mapping, MutableMapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final, cast

import structlog

from bus.core.errors import BusError, CommandFailed, QueryFailed, Rejected, Unreadable
from bus.core.messages import Message, Recorded
from bus.core.safe import told_fields

NAME: Final = "doubledecker"

FIELDS: Final = ("timestamp", "level", "event", "code", "trace_id", "span_id", "correlation_id", "command_id")
"""The order in which every entry has them, as far as it has them; whatever else it tells comes behind."""

STACK_FRAMES_MAX: Final = 30

_USERS: Final = (Rejected, CommandFailed, QueryFailed, Unreadable)
"""Errors of the bus whose words are, or quote, the application's or what is stored."""

_timed = structlog.processors.TimeStamper(fmt="iso", utc=True)
_json = structlog.processors.JSONRenderer(default=str, ensure_ascii=False)
_words = structlog.processors.KeyValueRenderer(key_order=list(FIELDS), drop_missing=True)


def told(error: BaseException) -> str:
    """An exception as entries have it: the words of the bus's own errors, of any other its type and its place."""
    if isinstance(error, BusError) and not isinstance(error, _USERS):
        return f"{type(error).__name__}: {error}"
    cause = error.__cause__ if isinstance(error, _USERS) and error.__cause__ is not None else error
    frames = traceback.extract_tb(cause.__traceback__, limit=-1)
    place = f" at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    return f"{type(cause).__name__}{place}"


def placed(traceparent: str | None) -> dict[str, str]:
    """The fields `trace_id` and `span_id` of a stored trace context."""
    parts = (traceparent or "").split("-")
    return {"trace_id": parts[1], "span_id": parts[2]} if len(parts) > 3 else {}


def named(recorded: Recorded[Any] | None) -> dict[str, Any]:
    """What an entry says of an event: the conversation, the command, the stream, the trace and its safe fields."""
    if recorded is None:
        return {}
    ids = {"correlation_id": recorded.correlation_id, "command_id": recorded.command_id, "stream": recorded.stream}
    return placed(recorded.traceparent) | ids | safe(recorded.event)


def safe(message: Message) -> dict[str, Any]:
    """The field `fields` of an entry: what the message's type declares safe; left out where that is nothing."""
    fields = told_fields(message)
    return {"fields": fields} if fields else {}


def rendered(entry: Mapping[str, Any]) -> str:
    """One line, in the form that standard error wants."""
    known = {name: entry[name] for name in FIELDS if entry.get(name) is not None}
    ordered = known | {name: value for name, value in entry.items() if name not in FIELDS}
    render = _words if sys.stderr is not None and sys.stderr.isatty() else _json
    return str(render(None, "", ordered))


def _excepted(_: Any, __: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """An exception's type and its frames, without what it says."""
    info = entry.pop("exc_info", None)
    error = sys.exc_info()[1] if info is True else info
    if isinstance(error, BaseException):
        entry["error"] = told(error)
        entry["stack"] = "".join(_frames(error.__traceback__))
    return entry


def _frames(trace: TracebackType | None) -> list[str]:
    return traceback.format_tb(trace, limit=-STACK_FRAMES_MAX)


def _rendered(_: Any, __: str, entry: MutableMapping[str, Any]) -> str:
    return rendered(entry)


log: structlog.stdlib.BoundLogger = cast(
    structlog.stdlib.BoundLogger,
    structlog.wrap_logger(
        logging.getLogger(NAME),
        wrapper_class=structlog.stdlib.BoundLogger,
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.add_log_level,
            _timed,
            _excepted,
            _rendered,
        ],
    ),
)


class LogFormatter(logging.Formatter):
    """For an application's handlers: entries of the library are in form already, those of others get the same.

    `handler.setFormatter(LogFormatter())`. What exceptions say is left out of both.
    """

    def format(self, record: logging.LogRecord) -> str:
        if record.name == NAME and record.exc_info is None:
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
