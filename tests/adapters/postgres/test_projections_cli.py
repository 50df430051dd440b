"""Beside a bus on PostgreSQL the command line tells how far views are, and has them built anew and dropped."""

import json
from collections.abc import Callable

import anyio
import pytest

from adapters.postgres import PostgresEventStore, PostgresViewStore
from bus import Bus
from tests.adapters.cli.ledgers import LIMITS, call
from tests.support.ledger import LEDGER, Deposit


async def test_views_are_looked_at_built_anew_and_dropped(
    new_url: Callable[[], str], capsys: pytest.CaptureFixture[str]
) -> None:
    url = new_url()
    stores = PostgresEventStore(url), PostgresViewStore(url)
    async with Bus(LEDGER, event_store=stores[0], view_store=stores[1], limits=LIMITS) as bus:
        await bus.send_many([Deposit("a")] * 10)
        await bus.wait_settled()
        assert await call("projections", "rebuild", "balances", "--store", url, "--follow") == 0
        await bus.wait_settled()
        await anyio.sleep(0.3)
        capsys.readouterr()
        assert await call("projections", "status", "balances", "--store", url) == 0
        old, new = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert (old["state"], new["state"], new["build"]) == ("replaced", "answering", 1)
        assert (new["position"], new["head"], new["lag_s"], new["owner"] != "") == (10, 10, 0.0, True)
        assert await call("projections", "drop", "balances", "--store", url, "--version", "1", "--build", "0") == 0
        assert capsys.readouterr().out == "balances version 1: version 1 was dropped\n"
    # And when no bus runs.
    assert await call("projections", "status", "balances", "--store", url) == 0
    (one,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (one["build"], one["lag_events"], one["owner"]) == (1, 0, "")
