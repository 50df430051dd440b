"""What is asked on the command line is left in the view store, and its answer waited for."""

from pathlib import Path

import anyio
import msgspec
import pytest

from adapters.cli.asking import ask, desk_url, request_of, unknown
from adapters.cli.failures import Refused
from adapters.sqlite import SqliteViewDesk, SqliteViewStore
from bus.core.stored import ViewTable
from tests.adapters.cli.ledgers import NOON

TABLE = ViewTable("balances", 3)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def test_views_are_beside_the_event_store_unless_it_is_said_where() -> None:
    assert desk_url("sqlite:///a/ledger.db", None) == "sqlite:///a/ledger-views.db"
    assert desk_url("sqlite:///a/ledger.db", "sqlite:///b.db") == "sqlite:///b.db"
    assert desk_url("postgresql://host/a", None) == "postgresql://host/a"


@pytest.mark.parametrize(("store", "why"), [(None, "name the stores"), ("memory:", "memory: holds nothing")])
def test_where_there_can_be_no_views_that_is_told(store: str | None, why: str) -> None:
    with pytest.raises(Refused, match=why):
        desk_url(store, None)


@pytest.mark.parametrize(("is_done", "code"), [(True, 0), (False, 1)])
async def test_the_answer_is_printed_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], is_done: bool, code: int
) -> None:
    async with SqliteViewStore(tmp_path / "v.db") as store, SqliteViewDesk(tmp_path / "v.db") as desk:
        request = request_of(TABLE, "drop", to_drop=(2, None))

        async def answer() -> None:
            while not (found := await store.requests(is_open=True, limit=9)):
                await anyio.lowlevel.checkpoint()
            assert list(found) == [request]
            told = msgspec.structs.replace(request, answered_at=NOON, is_done=is_done, answer="two\nlines")
            await store.answer(told)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(answer)
            assert await ask(desk, request, 30.0) == code
        assert capsys.readouterr().out == "balances version 3: two lines\n"


async def test_where_nobody_answers_that_is_told_and_the_request_stays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with SqliteViewStore(tmp_path / "v.db") as store, SqliteViewDesk(tmp_path / "v.db") as desk:
        request = request_of(TABLE, "rebuild")
        assert await ask(desk, request, 0.05) == 1
        assert "nobody has carried it out yet" in capsys.readouterr().out
        assert list(await store.requests(is_open=True, limit=9)) == [request]


async def test_a_projection_without_views_is_told_with_those_that_have_some(tmp_path: Path) -> None:
    async with SqliteViewStore(tmp_path / "v.db"), SqliteViewDesk(tmp_path / "v.db") as desk:
        assert str(unknown(desk, "x", ["a", "b", "a"])).endswith("no views of a projection 'x'; it has those of a, b")
        assert str(unknown(desk, "x", [])).endswith("no views of a projection 'x'")
