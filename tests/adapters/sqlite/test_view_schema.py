"""The tables of the view store: what was written by earlier releases opens, and queries use the indexes."""

from pathlib import Path

import pytest

from adapters.sqlite import SqliteViewStore
from adapters.sqlite.view_schema import LAYOUT, next_key, quoted
from bus.core.builds import Build, Standing
from bus.core.stored import Checkpoint, ViewTable
from tests.adapters.sqlite.files import raw, schema
from tests.contracts.letters import NOON, letter

GOLDEN = Path(__file__).parent / "golden"
VERSIONS = range(1, len(LAYOUT.migrations) + 1)
BOARD = ViewTable("board", 1, ("origin", "at"))
AGAIN = ViewTable("board", 1, ("at",), 1)
AT_7 = Checkpoint(7, "store", "a-1", 3)
STANDING = Standing(
    told_at=NOON,
    owner="host:1",
    events_per_s=0.5,
    batch_events=12.25,
    attempts=1,
    parked_keys=3,
    last_error='ValueError: "é"',
    stopped=None,
)


def golden(version: int, path: Path) -> None:
    """Makes a file as that schema's release left it."""
    with raw(path) as connection:
        connection.executescript((GOLDEN / f"views-{version}.sql").read_text())


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_file_of_each_schema_still_opens(tmp_path: Path, version: int) -> None:
    golden(version, tmp_path / "v.db")
    async with SqliteViewStore(tmp_path / "v.db") as store:
        assert dict(await store.prepare([BOARD])) == {BOARD: AT_7}
        assert dict(await store.load(BOARD, ["a", "b"])) == {"a": b'{"a":1}', "b": b"{}"}
        async with store.snapshot() as reader:
            assert list(await reader.find(BOARD, {"origin": "EWR"}, "at", False, 9)) == [("a", b'{"a":1}')]
        kept = [letter("k", 5, "a bug", BOARD), letter("k", 6, None, BOARD)] if version >= 2 else []
        assert list(await store.letters(BOARD, limit=9)) == kept
        asked = [one.id for one in await store.requests(is_open=True, limit=9)]
        assert asked == (["request-1"] if version >= 2 else [])
        at_6 = Checkpoint(6, "store", "a-1", 2)
        more = [Build(AGAIN, at_6, "building", NOON, STANDING)] if version >= 3 else []
        assert list(await store.builds()) == [Build(BOARD, AT_7, "answering", None), *more]
        if version >= 3:
            assert dict(await store.load(AGAIN, ["b"])) == {"b": b"{}"}


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_file_of_each_schema_becomes_the_one_made_today(tmp_path: Path, version: int) -> None:
    async with SqliteViewStore(tmp_path / "new.db") as store:
        await store.prepare([BOARD])
        await store.build(AGAIN, NOON)
    today = schema(tmp_path / "new.db")
    golden(version, tmp_path / "golden.db")
    assert (schema(tmp_path / "golden.db") == today) == (version == VERSIONS[-1])
    async with SqliteViewStore(tmp_path / "golden.db") as store:
        await store.build(AGAIN, NOON)
    assert schema(tmp_path / "golden.db") == today


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_key_is_given_once_also_after_its_table_has_gone(tmp_path: Path, version: int) -> None:
    golden(version, tmp_path / "v.db")
    async with SqliteViewStore(tmp_path / "v.db"):
        pass
    with raw(tmp_path / "v.db") as connection:
        given = [next_key(connection)]
        connection.execute("DELETE FROM projections")
        given += [next_key(connection), next_key(connection)]
    first = 4 if version >= 3 else 2
    assert given == [first, first + 1, first + 2]


def test_names_are_quoted() -> None:
    assert quoted('a"; DROP TABLE b') == '"a""; DROP TABLE b"'
