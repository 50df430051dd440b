"""Trees of causes are found in the store alone, in both directions."""

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from adapters.cli import causes
from adapters.cli.causes import Cause, Looking
from bus import DeadLetter, MemoryEventStore
from bus.core.stored import Append, NewEvent, ViewTable
from tests.contracts.letters import letter
from tests.support.ledger import LEDGER

NOON = datetime(2013, 1, 1, 12, tzinfo=UTC)
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def stored(*commands: tuple[str, str, str | None, str | None], events: int = 1) -> MemoryEventStore:
    """Commands by id, account, cause and conversation."""
    store = MemoryEventStore()
    async with store:
        for command_id, account, cause, conversation in commands:
            stream = f"account-{account}"
            version = len(await store.stream_pages({stream: 0}, 1_000))
            new = tuple([NewEvent("deposited", b'{"amount":1}')] * events)
            entry = Append(stream, version, new, command_id, b"x", conversation, cause, TRACE)
            assert not (await store.append([entry], NOON)).refused
    return store


def told(found: Sequence[Cause]) -> list[object]:
    """Command ids, with those that they caused in lists behind them."""
    return [part for one in found for part in ([one.command_id, told(one.caused)] if one.caused else [one.command_id])]


FAMILY = (
    ("other", "z", None, None),
    ("root", "a", None, None),
    ("child", "b", "root", "root"),
    ("stranger", "c", None, "talk"),
    ("grandchild", "a", "child", "root"),
    ("second", "d", "root", "root"),
)


@pytest.mark.parametrize("asked", ["root", "child", "grandchild", "second"])
async def test_a_command_is_told_with_its_causes_and_its_effects(asked: str) -> None:
    async with await stored(*FAMILY) as store:
        found = await Looking(store, LEDGER).look(asked)
    assert told(found) == ["root", ["child", ["grandchild"], "second"]]
    marked = [one.command_id for one in everyone(found) if one.is_asked]
    assert marked == [asked]


def everyone(found: Sequence[Cause]) -> list[Cause]:
    return [each for one in found for each in (one, *everyone(one.caused))]


@pytest.mark.parametrize("asked", ["3", "account-b@1"])
async def test_an_event_is_found_by_its_position_and_by_its_place_in_its_stream(asked: str) -> None:
    async with await stored(*FAMILY) as store:
        found = await Looking(store, LEDGER).look(asked)
    assert [one.command_id for one in everyone(found) if one.is_asked] == ["child"]


async def test_a_conversation_is_told_whole() -> None:
    async with await stored(*FAMILY) as store:
        assert told(await Looking(store, LEDGER).look("talk")) == ["stranger"]


@pytest.mark.parametrize("asked", ["nobody", "99", "account-b@9", "0", "9" * 30, "@", "account-b@x", "\u00b2"])
async def test_what_nobody_knows_is_nothing(asked: str) -> None:
    async with await stored(*FAMILY) as store:
        assert await Looking(store, LEDGER).look(asked) == []


async def test_places_views_and_traces_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(causes, "PAGE_EVENTS", 2)
    async with await stored(*FAMILY, events=3) as store:
        reached = {("balances", 1): 5, ("journal", 1): 99}
        looking = Looking(store, LEDGER, reached=reached, jaeger="http://jaeger")
        (root,) = await looking.look("root")
    assert (root.stream, root.recorded_at, root.correlation_id) == ("account-a", NOON, "root")
    assert root.trace_url == "http://jaeger/trace/0af7651916cd43dd8448eb211c80319c"
    assert [(event.position, event.version, event.name) for event in root.events] == [
        (4, 1, "deposited"),
        (5, 2, "deposited"),
        (6, 3, "deposited"),
    ]
    assert [[(view.projection, view.keys, view.is_reached) for view in event.views] for event in root.events] == [
        [("balances", ["a"], True), ("journal", ["all"], True)],
        [("balances", ["a"], True), ("journal", ["all"], True)],
        [("balances", ["a"], False), ("journal", ["all"], True)],
    ]


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("balances:1:3:b", ["child"]),
        ("balances:7:3:b", ["child"]),
        ("gone:1:3:k", ["child"]),
        ("balances:1:3:a", []),
        ("gone:1:3:l", []),
        ("balances:1:99:b", []),
        ("balances:1:0:b", []),
    ],
)
async def test_a_dead_letter_leads_to_its_command(asked: str, found: list[str]) -> None:
    async def letters(table: ViewTable, position: int) -> list[DeadLetter]:
        return [letter("k", 3, table=table)] if (table.projection, position) == ("gone", 3) else []

    async with await stored(*FAMILY) as store:
        told = await Looking(store, LEDGER, letters=letters).look(asked)
    assert [one.command_id for one in everyone(told) if one.is_asked] == found


async def test_events_say_where_they_are_parked() -> None:
    async def letters(table: ViewTable, position: int) -> list[DeadLetter]:
        return [letter("b", 3, table=table)] if (table, position) == (ViewTable("balances", 1), 3) else []

    async with await stored(*FAMILY) as store:
        found = await Looking(store, LEDGER, letters=letters).look("root")
    parked = {one.command_id: [view.parked for view in one.events[0].views] for one in everyone(found)}
    assert parked["child"] == [["balances:1:3:b"], []]
    assert parked["root"] == parked["second"] == [[], []]


async def test_a_circle_of_causes_ends() -> None:
    async with await stored(("one", "a", "two", None), ("two", "b", "one", None)) as store:
        assert told(await Looking(store, LEDGER).look("one")) != []


async def test_an_event_that_does_not_decode_is_told_without_keys() -> None:
    store = MemoryEventStore()
    async with store:
        await store.append([Append("account-a", 0, (NewEvent("deposited", b"{"),), "x", b"x")], NOON)
        (cause,) = await Looking(store, LEDGER).look("x")
    assert [(view.keys, view.is_reached) for view in cause.events[0].views] == [(None, None)] * 2
