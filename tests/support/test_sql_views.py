"""The store that does as it is told keeps the laws of views and of a user's transactions while it is told nothing."""

import pytest

from tests.contracts.view_writing import NewViewStore, ViewWritingLaws
from tests.support.sql_views import ToldSqlViewStore


class TestToldSqlViewStore(ViewWritingLaws):
    @pytest.fixture
    def new_store(self) -> NewViewStore:
        return ToldSqlViewStore
