"""The event store in PostgreSQL keeps the laws of its port."""

from collections.abc import Callable

import pytest

from adapters.postgres import PostgresEventStore
from tests.contracts.event_reading import EventReadingLaws
from tests.contracts.event_store import EventStoreLaws, NewStore
from tests.contracts.snapshots import SnapshotLaws


class TestPostgresEventStore(EventStoreLaws, EventReadingLaws, SnapshotLaws):
    @pytest.fixture
    def new_store(self, new_url: Callable[[], str]) -> NewStore:
        return lambda: PostgresEventStore(new_url())
