"""The view store in SQLite keeps the laws of its port."""

import itertools
from pathlib import Path

import pytest

from adapters.sqlite import SqliteViewStore
from tests.contracts.view_store import NewViewStore, ViewStoreLaws


class TestSqliteViewStore(ViewStoreLaws):
    @pytest.fixture
    def new_store(self, tmp_path: Path) -> NewViewStore:
        numbers = itertools.count()
        return lambda: SqliteViewStore(tmp_path / f"{next(numbers)}.db", synchronous="OFF")
