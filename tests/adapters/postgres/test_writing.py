"""The view store in PostgreSQL keeps the laws of a user's transactions."""

from collections.abc import Callable

import pytest

from adapters.postgres import PostgresViewStore
from tests.contracts.view_writing import LongStatementLaws, NewViewStore, ViewWritingLaws

NewUrl = Callable[[], str]


class TestPostgresWriting(ViewWritingLaws, LongStatementLaws):
    @pytest.fixture
    def new_store(self, new_url: NewUrl) -> NewViewStore:
        return lambda: PostgresViewStore(new_url())
