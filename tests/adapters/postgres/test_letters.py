"""Letters and requests in PostgreSQL: texts for the procedure, and what the procedure makes of them."""

import json
import random
from collections.abc import Callable
from functools import partial

import anyio.to_thread
import msgspec
import pytest

from adapters.cli import run
from adapters.postgres import PostgresEventStore, PostgresViewStore
from adapters.postgres.letters import letters_of, texts_of
from bus import PARK, Bus, Limits, Recorded, Removed
from bus.core.stored import Checkpoint, ViewChanges
from tests.bus.read.test_replaying import Switch
from tests.contracts.letters import letter
from tests.contracts.view_store import PLAIN
from tests.support.ledger import AccountEvent, Balance, Deposit, GetBalance, balances, ledger

QUICK = Limits(projection_backoff_s=0.001, poll_interval_s=0.05)


def test_letters_go_and_come_as_json() -> None:
    changes = ViewChanges(Checkpoint(), Checkpoint(), (), (), 0, (letter("k", 5, 'a "bug"'),), (("é", 3), ("l", 4)))
    gone, kept = texts_of(changes)
    assert msgspec.json.decode(gone) == [{"key": "é", "position": 3}, {"key": "l", "position": 4}]
    (row,) = msgspec.json.decode(kept)
    assert letters_of(PLAIN, [tuple(row.values())]) == [letter("k", 5, 'a "bug"')]


async def test_letters_are_shown_on_the_command_line(
    new_url: Callable[[], str], capsys: pytest.CaptureFixture[str]
) -> None:
    url, switch = new_url(), Switch(2)
    events, views = PostgresEventStore(url), PostgresViewStore(url)
    application = ledger(balances(switch.project, on_poison=PARK))
    async with Bus(application, event_store=events, view_store=views, limits=QUICK) as bus:
        await bus.send(Deposit("a", 2))
        await bus.wait_settled()

    async def show(version: int) -> int:
        call = partial(run, ["dead-letters", "show", f"balances:{version}:1:a", "--store", url])
        return await anyio.to_thread.run_sync(call)

    assert await show(1) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["error"], shown["event"]["amount"]) == ("ZeroDivisionError: a bug with 2", 2)
    assert await show(7) == 1
    assert "there is no dead letter 'balances:7:1:a'" in capsys.readouterr().err


async def test_a_retry_of_what_the_server_cannot_hold_fails_again_and_keeps_nobody_else(
    new_url: Callable[[], str],
) -> None:
    url, switch = new_url(), Switch(2)

    def project(view: Balance | None, recorded: Recorded[AccountEvent], key: str) -> Balance | Removed:
        found = switch.project(view, recorded, key)
        # Of what cannot be compressed, an index holds about 2,700 bytes.
        account = "".join([chr(number) for number in random.Random(1).choices(range(33, 127), k=20_000)])
        assert isinstance(found, Balance)
        return (
            msgspec.structs.replace(found, account=account)
            if recorded.stream_id == "a" and recorded.position > 1
            else found
        )

    events, views = PostgresEventStore(url), PostgresViewStore(url)
    application = ledger(balances(project, on_poison=PARK))
    async with Bus(application, event_store=events, view_store=views, limits=QUICK) as bus:
        for amount in (1, 2, 3):
            await bus.send(Deposit("a", amount))
        await bus.wait_settled()
        switch.amounts.clear()
        done = await bus.retry_dead_letters("balances")
        assert "key 'a' failed again: ValueError" in done.answer
        await bus.query(GetBalance("b"), after=await bus.send(Deposit("b", 1)))
        assert [letter.position async for letter in bus.dead_letters()] == [2, 3]
