"""The view store that does as it is told keeps the laws of its port."""

import pytest

from tests.contracts.view_store import NewViewStore, ViewStoreLaws
from tests.support.views import ToldViewStore


class TestToldViewStore(ViewStoreLaws):
    @pytest.fixture
    def new_store(self) -> NewViewStore:
        return ToldViewStore
