"""The fake event store of the tests keeps the laws of its port while nothing is scripted."""

import pytest

from tests.contracts.event_reading import EventReadingLaws
from tests.contracts.event_store import EventStoreLaws, NewStore
from tests.contracts.snapshots import SnapshotLaws
from tests.support.stores import FakeEventStore


class TestFakeEventStore(EventStoreLaws, EventReadingLaws, SnapshotLaws):
    @pytest.fixture
    def new_store(self) -> NewStore:
        return FakeEventStore
