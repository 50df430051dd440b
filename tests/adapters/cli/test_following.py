"""A build is followed until it answers, stops, or is gone."""

import io
from collections.abc import Sequence

import anyio
import pytest
from rich.console import Console

from adapters.cli import following
from adapters.cli.builds import Looking, Row
from adapters.cli.following import follow
from tests.adapters.cli.ledgers import row

NEW = {"version": 2, "build": 1}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Played(Looking):
    """Sees one after the other what it was given."""

    def __init__(self, *looks: Sequence[Row]) -> None:
        self._looks = list(looks)

    async def look(self, projection: str | None = None) -> list[Row]:
        assert projection == "balances"
        return list(self._looks.pop(0))


async def followed(monkeypatch: pytest.MonkeyPatch, *looks: Sequence[Row], code: int = 0) -> tuple[int, str]:
    monkeypatch.setattr(following, "INTERVAL_S", 0.0)
    console = Console(file=io.StringIO(), width=120, force_terminal=True, legacy_windows=False)
    with console.capture() as captured, anyio.fail_after(10):
        code = await follow(Played(*looks), "balances", code, console)
    return code, captured.get()


def building(position: int) -> list[Row]:
    old = row(position=100)
    return [old, row(state="building", position=position, progress_percent=float(position), **NEW)]


async def test_until_it_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    last = [row(state="replaced", position=100), row(position=100, **NEW)]
    code, text = await followed(monkeypatch, building(50), building(75), last, code=1)
    assert code == 0
    assert "balances v2.1 answers now" in text
    assert "50%" in text
    assert "1,234 events/s, 10 s left" in text


async def test_until_it_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    stopped = [row(), row(state="building", stopped="a\nbug", **NEW)]
    code, text = await followed(monkeypatch, building(50), stopped)
    assert code == 1
    assert "balances v2.1 stopped: a bug" in text


async def test_until_it_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    code, text = await followed(monkeypatch, building(50), [row()])
    assert code == 1
    assert "balances v2.1 was dropped" in text


@pytest.mark.parametrize("code", [0, 1])
async def test_where_nothing_is_being_built_there_is_nothing_to_follow(
    monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    assert (await followed(monkeypatch, [row()], code=code))[0] == code


async def test_without_the_event_store_what_answers_is_what_is_to_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    def looked(position: int) -> list[Row]:
        return [row(head=None, position=200), row(state="building", head=None, position=position, **NEW)]

    _, text = await followed(monkeypatch, looked(50), [row()])
    assert "25%" in text
