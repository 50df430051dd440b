"""The view store in PostgreSQL keeps the laws of its port, and its snapshots always come back."""

from collections.abc import Callable

import pytest

from adapters.postgres import PostgresViewStore
from tests.contracts.view_store import NewViewStore, ViewStoreLaws


class TestPostgresViewStore(ViewStoreLaws):
    @pytest.fixture
    def new_store(self, new_url: Callable[[], str]) -> NewViewStore:
        return lambda: PostgresViewStore(new_url())
