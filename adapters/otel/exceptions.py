"""Exceptions: told as log records, as the conventions want it; where they were raised, and nothing of what they say."""

import traceback
from typing import Final

from opentelemetry._logs import Logger, LogRecord, SeverityNumber
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, SpanContext, set_span_in_context

from bus.core.errors import BusError

STACK_FRAMES_MAX: Final = 50


class Exceptions:
    """An exception's message is made by the user's code and may hold anything, so it stays out."""

    def __init__(self, logger: Logger) -> None:
        self._logger = logger

    def tell(self, what: str, error: BaseException, place: SpanContext | None, *, is_retried: bool = False) -> None:
        """One record, in the trace of `place`; of an error of the bus's own its cause."""
        cause = error.__cause__ if isinstance(error, BusError) and error.__cause__ is not None else error
        frames = traceback.format_tb(cause.__traceback__, limit=-STACK_FRAMES_MAX)
        attributes = {
            "exception.type": f"{type(cause).__module__}.{type(cause).__qualname__}",
            "exception.stacktrace": "".join(frames),
        }
        if isinstance(error, BusError):
            attributes["doubledecker.code"] = error.code
        self._logger.emit(
            LogRecord(
                context=Context() if place is None else set_span_in_context(NonRecordingSpan(place), Context()),
                severity_number=SeverityNumber.WARN if is_retried else SeverityNumber.ERROR,
                severity_text="WARN" if is_retried else "ERROR",
                body=what,
                attributes=attributes,
                event_name="exception",
            )
        )
