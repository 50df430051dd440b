"""Reindexing: views whose projection now declares other indexes get them when a bus is opened, and are kept."""

from collections.abc import Callable
from typing import Any

import msgspec

from bus.core.errors import Unusable, in_words
from bus.core.limits import Limits
from bus.core.projection import IndexValue, Projection
from bus.core.schema import DECODE_ERRORS
from bus.core.stored import ViewTable
from bus.ports import ViewStore


async def reindex(projection: Projection[Any, Any], table: ViewTable, view_store: ViewStore, limits: Limits) -> None:
    """Indexes a projection's table; raises `Unusable`, and has changed nothing, where a view cannot be indexed."""
    values_of = _values_of(projection, view_store.url)
    await view_store.reindex(table, values_of, limits.reindex_views_max)


def _values_of(projection: Projection[Any, Any], url: str) -> Callable[[bytes], tuple[IndexValue, ...]]:
    decode = msgspec.json.Decoder(projection.view).decode

    def values_of(payload: bytes) -> tuple[IndexValue, ...]:
        try:
            return projection.index_values(decode(payload))
        except (TypeError, *DECODE_ERRORS) as error:
            raise Unusable(
                f"{url}: a stored view of {projection.name!r} version {projection.version} cannot be indexed by "
                f"{projection.indexes!r} ({in_words(error)}). Nothing was changed; raise the projection's version when "
                "the view changes its shape",
                store=url,
            ) from error

    return values_of
