"""Outcomes: how a message ended, in the few words that spans and metrics share."""

from bus.core.errors import (
    BusError,
    ConflictExhausted,
    DeadlineExceeded,
    OutcomeUnknown,
    ProjectionTimeout,
    QueryTimeout,
    Rejected,
    VersionConflict,
)
from bus.core.messages import Receipt

OK, REJECTED, CONFLICT, DUPLICATE, TIMEOUT, CANCELLED, ERROR = (
    "ok",
    "rejected",
    "conflict",
    "duplicate",
    "timeout",
    "cancelled",
    "error",
)

_CONFLICTS = (VersionConflict, ConflictExhausted)
_TIMEOUTS = (DeadlineExceeded, QueryTimeout, ProjectionTimeout)


def outcome_of(answer: Receipt | BusError | None, *, is_late: bool = False) -> str:
    """The word for an answer. `is_late` tells that the deadline had passed; None is the lack of anybody waiting."""
    if answer is None:
        return TIMEOUT if is_late else CANCELLED
    if isinstance(answer, Receipt):
        return DUPLICATE if answer.duplicate else OK
    return outcome_of_error(answer, is_late=is_late)


def outcome_of_error(error: BusError, *, is_late: bool = False) -> str:
    """The same for what was raised."""
    if isinstance(error, Rejected):
        return REJECTED
    if isinstance(error, _CONFLICTS):
        return CONFLICT
    if isinstance(error, _TIMEOUTS) or (is_late and isinstance(error, OutcomeUnknown)):
        return TIMEOUT
    return ERROR


def is_failure(outcome: str) -> bool:
    """Whether a span of this outcome counts as an error: what the domain or a repetition answers is none."""
    return outcome in (ERROR, TIMEOUT)
