"""The event store in SQLite keeps the laws of its port."""

import itertools
from pathlib import Path

import pytest

from adapters.sqlite import SqliteEventStore
from tests.contracts.event_reading import EventReadingLaws
from tests.contracts.event_store import EventStoreLaws, NewStore
from tests.contracts.snapshots import SnapshotLaws


class TestSqliteEventStore(EventStoreLaws, EventReadingLaws, SnapshotLaws):
    @pytest.fixture
    def new_store(self, tmp_path: Path) -> NewStore:
        numbers = itertools.count()
        return lambda: SqliteEventStore(tmp_path / f"{next(numbers)}.db", synchronous="OFF")
