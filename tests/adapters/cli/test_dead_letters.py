"""Dead letters are looked at, retried and discarded beside the bus that runs the projection."""

import json
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread
import msgspec
import pytest

from adapters.cli import run
from adapters.sqlite import SqliteEventStore, SqliteViewStore
from bus import PARK, Bus, Limits
from bus.core.stored import Checkpoint, ViewChanges
from tests.bus.read.test_replaying import Switch, seen
from tests.contracts.letters import NOON, letter
from tests.support.ledger import Deposit, balances, ledger

LIMITS = Limits(projection_backoff_s=0.001, poll_interval_s=0.05)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def switch() -> Switch:
    return Switch(2)


@pytest.fixture
def stores(tmp_path: Path, switch: Switch) -> tuple[str, Bus]:
    """The event store's URL, and a bus on it whose balances fail at 2."""
    bus = Bus(
        ledger(balances(switch.project, on_poison=PARK)),
        event_store=SqliteEventStore(tmp_path / "ledger.db"),
        view_store=SqliteViewStore(tmp_path / "ledger-views.db"),
        limits=LIMITS,
    )
    return f"sqlite:///{tmp_path / 'ledger.db'}", bus


async def park(bus: Bus) -> None:
    for amount in (1, 2, 3):
        await bus.send_many([Deposit("a", amount), Deposit("b", 1)])
    await bus.wait_settled()


async def call(*arguments: str) -> int:
    """The exit code of a command that runs while the bus does."""
    return await anyio.to_thread.run_sync(partial(run, ["dead-letters", *arguments]))


async def test_letters_are_listed_and_shown(stores: tuple[str, Bus], capsys: pytest.CaptureFixture[str]) -> None:
    url, bus = stores
    async with bus:
        await park(bus)
        assert await call("list", "--store", url) == 0
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert [(line["id"], line["error"] is None) for line in lines] == [
            ("balances:1:3:a", False),
            ("balances:1:5:a", True),
        ]
        assert await call("list", "--store", url, "--projection", "balances", "--key", "b") == 0
        assert await call("list", "--store", url, "--projection", "journal") == 0
        assert capsys.readouterr().out == ""
        assert await call("show", "balances:1:3:a", "--store", url) == 0
        shown = json.loads(capsys.readouterr().out)
        assert (shown["error"], shown["attempts"]) == ("ZeroDivisionError: a bug with 2", 5)
        assert shown["event"]["amount"] == 2


async def test_a_retry_is_carried_out_by_the_bus_and_answered(
    stores: tuple[str, Bus], switch: Switch, capsys: pytest.CaptureFixture[str]
) -> None:
    url, bus = stores
    async with bus:
        await park(bus)
        assert await call("retry", "--store", url) == 1
        assert "failed again: ZeroDivisionError: a bug with 2" in capsys.readouterr().out
        switch.amounts.clear()
        assert await call("retry", "--store", url, "--key", "a") == 0
        assert capsys.readouterr().out == "balances version 1: 2 events are in the views now\n"
        assert await seen(bus) == [1, 3, 5]
        assert await call("retry", "--store", url) == 0
        assert capsys.readouterr().out == "nothing is parked\n"
        assert await call("retry", "--store", url, "--key", "a") == 0
        assert capsys.readouterr().out == "key 'a' is not parked\n"


async def test_a_letter_is_discarded_with_a_reason(stores: tuple[str, Bus], capsys: pytest.CaptureFixture[str]) -> None:
    url, bus = stores
    async with bus:
        await park(bus)
        assert await call("discard", "balances:1:3:a", "--store", url) == 2
        assert "reason" in capsys.readouterr().err
        assert await call("discard", "balances:1:3:a", "--reason", "a typo", "--store", url) == 0
        assert capsys.readouterr().out == "balances version 1: discarded\n"
        assert await call("discard", "balances:1:3:a", "--reason", "a typo", "--store", url) == 1
        assert "there is no such letter" in capsys.readouterr().out
        assert await call("show", "balances:1:3:a", "--store", url) == 1
        assert "there is no dead letter" in capsys.readouterr().err
        assert await call("retry", "--store", url) == 0
        assert await seen(bus) == [1, 5]


async def test_where_no_bus_runs_the_request_waits_for_one(
    stores: tuple[str, Bus], switch: Switch, capsys: pytest.CaptureFixture[str]
) -> None:
    url, bus = stores
    async with bus:
        await park(bus)
    switch.amounts.clear()
    assert await call("retry", "--store", url, "--wait-s", "0.2") == 1
    assert "nobody has carried it out yet" in capsys.readouterr().out
    async with bus:
        assert (await bus.retry_dead_letters("balances")).answer == "nothing is parked"
        assert await seen(bus) == [1, 3, 5]


async def test_letters_of_a_version_that_was_replaced_are_asked_of_nobody(
    stores: tuple[str, Bus], switch: Switch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url, bus = stores
    async with bus:
        await park(bus)
    switch.amounts.clear()
    newer = Bus(
        ledger(balances(version=2, on_poison=PARK)),
        event_store=SqliteEventStore(tmp_path / "ledger.db"),
        view_store=SqliteViewStore(tmp_path / "ledger-views.db"),
        limits=LIMITS,
    )
    async with newer:
        await newer.wait_settled()
        assert await call("retry", "--store", url) == 0
        assert capsys.readouterr().out == "nothing is parked\n"
        assert await seen(newer) == [1, 3, 5]


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["list"], "name the stores"),
        (["list", "--views", "memory:"], "holds nothing"),
        (["list", "--views", "sqlite:////nowhere/views.db"], "/nowhere"),
        (["list", "--views", "mysql://x"], "no store is called 'mysql'"),
        (["show", "nonsense", "--store", "{store}"], "no id of a dead letter"),
        (["list", "--projection", "none", "--store", "{store}"], "no views of a projection 'none'"),
    ],
)
async def test_what_cannot_be_done_is_told(
    stores: tuple[str, Bus], capsys: pytest.CaptureFixture[str], arguments: list[str], why: str
) -> None:
    url, bus = stores
    async with bus:
        pass
    assert await call(*[one.replace("{store}", url) for one in arguments]) == 2
    assert why in capsys.readouterr().err


async def test_what_is_built_beside_has_letters_of_no_interest(
    stores: tuple[str, Bus], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url, bus = stores
    async with bus:
        await park(bus)
    async with SqliteViewStore(tmp_path / "ledger-views.db") as views:
        table = next(one.table for one in await views.builds() if one.table.projection == "balances")
        other = msgspec.structs.replace(table, build=1)
        await views.prepare([table])
        await views.build(other, NOON)
        kept = (letter("a", 3, "another bug", other),)
        await views.commit(other, ViewChanges(Checkpoint(), Checkpoint(3, "s", "a-1", 1), (), (), 0, kept))
    assert await call("list", "--store", url) == 0
    assert [json.loads(line)["id"] for line in capsys.readouterr().out.splitlines()] == [
        "balances:1:3:a",
        "balances:1:5:a",
    ]
    assert await call("show", "balances:1:3:a", "--store", url) == 0
    assert json.loads(capsys.readouterr().out)["error"] == "ZeroDivisionError: a bug with 2"
