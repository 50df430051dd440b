"""The codes of errors are an interface: callers in other languages branch on them, so they never change."""

from bus.core import errors
from bus.core.errors import BusError, Rejected

CODES = {
    "BusError": "bus-error",
    "Rejected": "rejected",
    "NotRecorded": "not-recorded",
    "UnknownCommand": "unknown-command",
    "CommandIdReused": "command-id-reused",
    "VersionConflict": "version-conflict",
    "Overloaded": "overloaded",
    "BusClosed": "bus-closed",
    "DeadlineExceeded": "deadline-exceeded",
    "ConflictExhausted": "conflict-exhausted",
    "CommandFailed": "command-failed",
    "StoreUnavailable": "store-unavailable",
    "OutcomeUnknown": "outcome-unknown",
    "NotProjected": "not-projected",
    "ProjectionTimeout": "projection-timeout",
    "ProjectionStopped": "projection-stopped",
    "Parked": "parked",
    "QueryError": "query-error",
    "UnknownQuery": "unknown-query",
    "QueryFailed": "query-failed",
    "QueryTimeout": "query-timeout",
    "ViewNotIndexed": "view-not-indexed",
    "ViewNotBuilt": "view-not-built",
    "InvalidCursor": "invalid-cursor",
    "NotSettled": "not-settled",
    "Unreadable": "unreadable",
    "Unusable": "unusable",
    "StoreInUse": "unusable.in-use",
    "StoreTooNew": "unusable.too-new",
    "StoreNotReadable": "unusable.not-a-store",
    "StoreReadOnly": "unusable.read-only",
    "ViewsMismatch": "unusable.views-mismatch",
    "ViewsDropped": "unusable.views-dropped",
}


def _declared() -> dict[str, str]:
    found = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, BusError)]
    return {kind.__name__: kind.code for kind in found}


def test_codes_are_the_ones_promised() -> None:
    assert _declared() == CODES


def test_codes_are_unique() -> None:
    assert len(set(CODES.values())) == len(CODES)


def test_every_error_declares_its_own_code() -> None:
    for name in CODES:
        assert "code" in vars(errors)[name].__dict__, f"{name} inherits the code of its parent"


def test_a_rejection_of_the_domain_gets_its_code_from_its_name() -> None:
    class NotBoarding(Rejected): ...

    assert NotBoarding.code == "rejected.not-boarding"
