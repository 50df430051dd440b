"""Reached: how far the projections of a view store have come, read beside the processes that write it."""

from collections.abc import Mapping

from adapters.postgres.errors import DRIVER_ERRORS, unavailable
from adapters.postgres.schema import open_schema
from adapters.postgres.urls import target_of
from adapters.postgres.views import LAYOUT

_POSITIONS = """
SELECT projection, version, position FROM {schema}.projections p
ORDER BY coalesce(to_jsonb(p) ->> 'state' = 'answering', true), coalesce((to_jsonb(p) ->> 'build')::bigint, 0)
"""
"""Of the builds of a version the one that answers comes last; in the schema of an earlier release there are none."""


async def reached(url: str, *, timeout_s: float = 30.0) -> Mapping[tuple[str, int], int]:
    """Position by projection and version. Raises `Unusable` where there is no view store."""
    target = target_of(url)
    connection = await open_schema(target, LAYOUT, read_only=True, timeout_s=timeout_s)
    try:
        found = await connection.fetch(_POSITIONS.replace("{schema}", target.quoted_schema))
        return {(name, version): position for name, version, position in found}
    except DRIVER_ERRORS as error:
        raise unavailable(error, target.url) from error
    finally:
        await connection.close()
