"""The view store in SQLite keeps the laws of a user's transactions."""

import itertools
from pathlib import Path

import pytest

from adapters.sqlite import SqliteViewStore
from tests.contracts.view_writing import LongStatementLaws, NewViewStore, ViewWritingLaws


class TestSqliteWriting(ViewWritingLaws, LongStatementLaws):
    @pytest.fixture
    def new_store(self, tmp_path: Path) -> NewViewStore:
        numbers = itertools.count()
        return lambda: SqliteViewStore(tmp_path / f"{next(numbers)}.db", synchronous="OFF")
