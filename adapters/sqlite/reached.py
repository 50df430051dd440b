"""Reached: how far the projections of a view store have come, read beside the bus that writes it."""

import os
import sqlite3
from collections.abc import Mapping

from adapters.sqlite.database import reading_uri
from adapters.sqlite.errors import DRIVER_ERRORS, unavailable
from adapters.sqlite.paths import real_path, url_of

_BUILDS = "SELECT count(*) FROM pragma_table_info('projections') WHERE name = 'build'"
"""An earlier release's file has none."""
_POSITIONS = "SELECT projection, version, position FROM projections"
_IN_ORDER = " ORDER BY state = 'answering', build"
"""Of the builds of a version the one that answers comes last."""


async def reached(path: str | os.PathLike[str]) -> Mapping[tuple[str, int], int]:
    """Position by projection and version; empty where there is no file. Raises `StoreUnavailable`."""
    where = real_path(path)
    if not where.exists():
        return {}
    try:
        connection = sqlite3.connect(reading_uri(where), uri=True)
        try:
            query = _POSITIONS + (_IN_ORDER if connection.execute(_BUILDS).fetchone()[0] else "")
            return {(name, version): position for name, version, position in connection.execute(query)}
        finally:
            connection.close()
    except DRIVER_ERRORS as error:
        raise unavailable(error, url_of(path)) from error
