"""Pages: many events in one row, since the driver gives the interpreter's lock away for each row."""

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any, Final

import msgspec

from adapters.sqlite.event_schema import PAGE

EVENTS_MIN: Final = 100
"""In fewer rows than that the lock is won back sooner than an array is read."""

_COLUMNS: Final = (
    "position", "stream", "version", "name", "payload", "recorded_at", "command_id", "fingerprint", "correlation_id",
    "causation_id", "traceparent",
)  # fmt: skip
_BYTES: Final = frozenset({"payload", "fingerprint"})


def _together(column: str) -> str:
    # As bytes, so that nothing on the way reads a damaged text for another one.
    if column in _BYTES:
        return f"CAST(json_group_array(length({column})) AS BLOB), CAST(group_concat({column}, '') AS BLOB)"
    return f"CAST(json_group_array({column}) AS BLOB)"


_NAMES: Final = ", ".join(_COLUMNS)
_AGGREGATES: Final = ", ".join(map(_together, _COLUMNS))

TOGETHER: Final = f"WITH page({_NAMES}) AS ({PAGE}) SELECT {_AGGREGATES} FROM page"
"""The query of a page in one row: each column as a JSON array, bytes as an array of sizes and all of them together."""

_decode = msgspec.json.Decoder(list[Any]).decode


def rows_of(page: Sequence[bytes | None]) -> list[tuple[Any, ...]] | None:
    """The rows of the page, or None where something about it is unusual: whoever reads row by row sees what."""
    given = iter(page)
    columns: list[list[Any]] = []
    try:
        for column in _COLUMNS:
            found = _decode(next(given) or b"")
            columns.append(_cut(next(given) or b"", found) if column in _BYTES else found)
        if columns[0] != sorted(columns[0]):
            return None
        return list(zip(*columns, strict=True))
    except (msgspec.MsgspecError, TypeError, ValueError):
        return None


def _cut(together: bytes, sizes: list[int]) -> list[bytes]:
    ends = list(accumulate(sizes, initial=0))
    if ends[-1] != len(together):
        raise ValueError("sizes that do not add up: what was measured are not bytes")
    return [together[start:end] for start, end in pairwise(ends)]
