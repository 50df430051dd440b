"""What the guide to batch projections shows on SQLite happens on PostgreSQL as well."""

import sys
import types
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from adapters.postgres import PostgresEventStore, PostgresViewStore
from bus import Bus
from tests.adapters.postgres.databases import schema_of
from tests.architecture import tree
from tests.architecture.test_readme import README, run_blocks


@pytest.fixture
def guide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """The module that the blocks of README and of the guide make."""
    monkeypatch.chdir(tmp_path)
    module = types.ModuleType("guide")
    monkeypatch.setitem(sys.modules, "guide", module)
    run_blocks(README, module)
    run_blocks(tree.ROOT / "docs" / "batch-projections.md", module)
    return module


async def test_the_statements_of_the_guide_are_the_same(guide: types.ModuleType, new_url: Callable[[], str]) -> None:
    url = new_url()
    settings = {"search_path": schema_of(url)}
    async with asyncpg.create_pool(url.partition("?")[0], min_size=1, server_settings=settings) as pool:

        async def fetch(sql: str, parameters: list[Any]) -> Iterable[Any]:
            return await pool.fetch(sql, *parameters)

        application = guide.shop(guide.Statements("postgresql", fetch))
        async with Bus(application, event_store=PostgresEventStore(url), view_store=PostgresViewStore(url)) as bus:
            assert await guide.buy_a_bicycle(bus) == [
                guide.Line("deposit", 500, None),
                guide.Line("bicycle", -420, True),
            ]
