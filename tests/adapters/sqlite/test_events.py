"""The event store in SQLite keeps the laws of its port."""

import itertools
from pathlib import Path

import pytest

from adapters.sqlite import SqliteEventStore
from tests.contracts.event_reading import EventReadingLaws
from tests.contracts.event_store import EventStoreLaws, NewStore


class TestSqliteEventStore(EventStoreLaws, EventReadingLaws):
    @pytest.fixture
    def new_store(self, tmp_path: Path) -> NewStore:
        numbers = itertools.count()
        return lambda: SqliteEventStore(tmp_path / f"{next(numbers)}.db", synchronous="OFF")
