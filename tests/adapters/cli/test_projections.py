"""Projections are looked at, and their views built anew, switched to and dropped, beside the bus that runs them."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from rich.console import Console

from adapters.cli import run
from adapters.cli.builds import Looking, Row
from adapters.cli.projections import show
from adapters.sqlite import SqliteEventStore, SqliteViewDesk, SqliteViewStore
from bus import Application, Bus
from bus.core.stored import ViewTable
from tests.adapters.cli.ledgers import LIMITS, NOON, call, opened, store_of, until
from tests.support.building import raised
from tests.support.ledger import ACCOUNT, LEDGER, NOTE, Deposit, balances, ledger
from tests.support.projecting import POISON, Brittle


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def told(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> list[dict[str, Any]]:
    assert await call("projections", "status", *arguments) == code
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


async def fill(bus: Bus, count: int = 10) -> None:
    await bus.send_many([Deposit("a")] * count)
    await bus.wait_settled()


async def test_every_build_is_told_as_a_json_object_beside_a_running_bus(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = store_of(tmp_path)
    async with opened(tmp_path, LEDGER) as bus:
        await fill(bus)
        await anyio.sleep(0.2)
        found = await told(capsys, "--store", store)
        assert [one["projection"] for one in found] == ["balances", "journal", "notes"]
        (one,) = await told(capsys, "balances", "--store", store)
        assert (one["version"], one["build"], one["state"], one["stopped"]) == (1, 0, "answering", None)
        assert (one["position"], one["head"], one["lag_events"], one["lag_s"]) == (10, 10, 0, 0.0)
        assert one["owner"].count("/") == 2
        assert (one["retries"], one["parked_keys"]) == (0, 0)


async def test_where_no_bus_runs_it_is_told_what_is_missing_since_when(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = store_of(tmp_path)
    async with opened(tmp_path, LEDGER) as bus:
        await fill(bus)
        await anyio.sleep(0.2)
    alone = Application(deciders=[ACCOUNT, NOTE])
    async with Bus(alone, event_store=SqliteEventStore(tmp_path / "ledger.db")) as bus:
        await bus.send_many([Deposit("a"), Deposit("a")])
    (one,) = await told(capsys, "balances", "--store", store)
    assert (one["position"], one["lag_events"], one["owner"]) == (10, 2, "")
    assert 0 < one["lag_s"] < 60
    assert one["events_per_s"] == 0.0


async def test_a_projection_that_stopped_makes_the_exit_code_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = store_of(tmp_path)
    async with opened(tmp_path, ledger(balances(Brittle().project))) as bus:
        await bus.send(Deposit("a", POISON))
        await until(lambda: any(one.stopped for one in bus.statistics().projections))
        await anyio.sleep(0.1)
        (one,) = await told(capsys, "balances", "--store", store, code=1)
        assert "ZeroDivisionError" in one["stopped"]
        assert one["retries"] == LIMITS.projection_attempts_max
        await told(capsys, "journal", "--store", store, code=0)
    # It still does when nobody runs it any more.
    await told(capsys, "--store", store, code=1)


async def test_views_are_built_anew_switched_back_to_and_dropped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = store_of(tmp_path)
    async with opened(tmp_path, LEDGER) as bus:
        await fill(bus)
        assert await call("projections", "rebuild", "balances", "--store", store, "--follow") == 0
        out = capsys.readouterr().out
        assert "balances version 1: version 1 build 1 is being built" in out
        await bus.wait_settled()
        await anyio.sleep(0.2)
        old, new = await told(capsys, "balances", "--store", store)
        assert (old["state"], new["state"], new["build"]) == ("replaced", "answering", 1)
        assert old["drops_at"] is not None
        assert await call("projections", "switch", "balances", "--store", store) == 0
        assert capsys.readouterr().out == "balances version 1: version 1 answers now\n"
        assert await call("projections", "drop", "balances", "--store", store) == 0
        assert capsys.readouterr().out == "balances version 1: version 1 build 1 was dropped\n"
        assert await call("projections", "drop", "balances", "--store", store) == 1
        assert "nothing to drop but what answers" in capsys.readouterr().out
        assert await call("projections", "switch", "balances", "--store", store) == 1
        assert "nothing to switch to" in capsys.readouterr().out


async def test_what_is_being_built_is_told_with_its_progress_and_given_up_on_request(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = store_of(tmp_path)
    async with opened(tmp_path, LEDGER) as bus:
        await fill(bus)
    broken = raised(project=Brittle().project)
    async with opened(tmp_path, LEDGER) as bus:
        await bus.send(Deposit("a", POISON))
    async with opened(tmp_path, broken) as bus:
        await until(lambda: (one := bus.statistics().projections[0].building) is not None and one.stopped is not None)
        await anyio.sleep(0.1)
        old, new = await told(capsys, "balances", "--store", store, code=1)
        assert (old["state"], new["state"]) == ("answering", "building")
        assert (new["position"], new["progress_percent"]) == (10, 90.9)
        assert await call("projections", "rebuild", "balances", "--store", store, "--follow") == 1
        out = capsys.readouterr().out
        assert "is being built already" in out
        assert "balances v2 stopped" in out
        assert await call("projections", "drop", "balances", "--store", store) == 0
        assert capsys.readouterr().out == "balances version 1: version 2 was dropped\n"
        assert len(await told(capsys, "balances", "--store", store)) == 1


async def test_what_nobody_knows_any_more_is_dropped_by_its_version(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = store_of(tmp_path)
    async with SqliteViewStore(tmp_path / "ledger-views.db") as views:
        await views.build(ViewTable("balances", 7, (), 2), NOON)
    async with opened(tmp_path, LEDGER):
        named = ["projections", "drop", "balances", "--store", store, "--version"]
        assert await call(*named, "8") == 2
        assert "there are version 1, version 7 build 2" in capsys.readouterr().err
        assert await call(*named, "7", "--build", "1") == 2
        assert await call(*named, "1") == 1
        assert "version 1 answers, and was not dropped" in capsys.readouterr().out
        assert await call(*named, "7") == 0
        assert "version 7 build 2 was dropped" in capsys.readouterr().out


async def test_where_no_bus_runs_what_is_asked_waits_for_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = store_of(tmp_path)
    async with opened(tmp_path, LEDGER) as bus:
        await fill(bus)
    assert await call("projections", "rebuild", "balances", "--store", store, "--wait-s", "0.2") == 1
    assert "nobody has carried it out yet" in capsys.readouterr().out
    async with opened(tmp_path, LEDGER) as bus:
        await until(lambda: bus.statistics().projections[0].build == 1)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["status"], "name the stores"),
        (["status", "--store", "memory:"], "memory: holds nothing"),
        (
            ["status", "none", "--store", "{store}"],
            "no views of a projection 'none'; it has those of balances, j",
        ),
        (["status", "--store", "{store}", "--interval", "0"], "seconds above zero"),
        (["rebuild", "none", "--store", "{store}"], "no views of a projection 'none'"),
        (["drop", "balances", "--store", "{store}", "--build", "1"], "--build needs the --version"),
        (["switch"], "NAME"),
    ],
)
async def test_what_cannot_be_done_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], why: str
) -> None:
    async with opened(tmp_path, LEDGER):
        pass
    store = store_of(tmp_path)
    assert await call("projections", *[one.replace("{store}", store) for one in arguments]) == 2
    assert why in capsys.readouterr().err


async def test_on_a_terminal_the_table_is_drawn_anew_after_each_look(tmp_path: Path) -> None:
    console, rows = Console(width=140, force_terminal=True, legacy_windows=False), list[Row]()
    async with (
        opened(tmp_path, LEDGER) as bus,
        SqliteViewDesk(tmp_path / "ledger-views.db") as desk,
        SqliteEventStore(tmp_path / "ledger.db", read_only=True) as events,
        anyio.create_task_group() as tasks,
    ):
        with console.capture() as captured:
            tasks.start_soon(show, Looking(desk, events), "balances", 0.01, rows, console)
            for position in (10, 20):
                await fill(bus)
                await until(partial(_has_reached, rows, position))
            tasks.cancel_scope.cancel()
    assert captured.get().count("Position") > 1
    assert rows[0].position == 20


def _has_reached(rows: list[Row], position: int) -> bool:
    return bool(rows) and rows[0].position == position


def test_the_commands_and_their_settings_are_described(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["projections", "--help"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in ("status", "rebuild", "switch", "drop"))
