"""The tables of the view store: what was written by earlier releases opens, and queries use the indexes."""

from pathlib import Path

from adapters.sqlite import SqliteViewStore
from adapters.sqlite.view_schema import LAYOUT, quoted
from bus.core.stored import Checkpoint, ViewTable
from tests.adapters.sqlite.files import raw, schema

GOLDEN = Path(__file__).parent / "golden" / "views-1.sql"
BOARD = ViewTable("board", 1, ("origin", "at"))


async def test_a_file_of_the_first_schema_still_opens(tmp_path: Path) -> None:
    with raw(tmp_path / "v.db") as connection:
        connection.executescript(GOLDEN.read_text())
    async with SqliteViewStore(tmp_path / "v.db") as store:
        assert dict(await store.prepare([BOARD])) == {BOARD: Checkpoint(7, "store", "a-1", 3)}
        assert dict(await store.load(BOARD, ["a", "b"])) == {"a": b'{"a":1}', "b": b"{}"}
        async with store.snapshot() as reader:
            assert list(await reader.find(BOARD, {"origin": "EWR"}, "at", False, 9)) == [("a", b'{"a":1}')]


async def test_the_first_schema_is_the_one_made_today(tmp_path: Path) -> None:
    with raw(tmp_path / "golden.db") as connection:
        connection.executescript(GOLDEN.read_text())
    async with SqliteViewStore(tmp_path / "new.db") as store:
        await store.prepare([BOARD])
    assert len(LAYOUT.migrations) == 1, "a later schema: compare with a golden file of its own"
    assert schema(tmp_path / "new.db") == schema(tmp_path / "golden.db")


def test_names_are_quoted() -> None:
    assert quoted('a"; DROP TABLE b') == '"a""; DROP TABLE b"'
