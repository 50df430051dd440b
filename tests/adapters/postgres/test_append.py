"""Appends to PostgreSQL: the common batch in one round trip, the others entry by entry, as the store in memory does."""

import random
from collections.abc import Callable

import anyio
import msgspec
import pytest

from adapters.postgres import PostgresEventStore
from adapters.postgres.append import all_at_once, each_by_itself
from adapters.postgres.heads import Heads
from bus.core.stored import Append, Appended, NewEvent, Stale, Unstorable
from bus.memory import MemoryEventStore
from tests.adapters.postgres.conftest import Sql
from tests.adapters.postgres.databases import as_role, check_log, recorded, schema_of
from tests.contracts.entries import NOON, entry
from tests.support.proxy import proxy

NewUrl = Callable[[], str]


@pytest.mark.parametrize("seed", range(6))
async def test_it_answers_as_the_store_in_memory_does(new_url: NewUrl, seed: int) -> None:
    chance = random.Random(seed)
    memory, postgres = MemoryEventStore(), PostgresEventStore(new_url(), heads_max=6)
    versions: dict[str, int] = {}
    async with memory, postgres:
        for _ in range(30):
            batch = [_random_entry(chance, versions) for _ in range(chance.choice([1, 2, 8, 70]))]
            expected = await memory.append(batch, NOON)
            assert _comparable(await postgres.append(batch, NOON)) == _comparable(expected)
            versions = {
                f"s-{number}": len(await memory.stream_pages({f"s-{number}": 0}, 9_999)) for number in range(12)
            }
        everything = list(await memory.page(0, 99_999))
        assert list(await postgres.page(0, 99_999)) == everything
        ids = [f"c{number}" for number in range(400)]
        assert dict(await postgres.find_commands(ids)) == dict(await memory.find_commands(ids))
        assert len(everything) > 50


def _random_entry(chance: random.Random, versions: dict[str, int]) -> Append:
    """Mostly what is right: the version follows what earlier entries would leave, the command is new."""
    stream = f"s-{chance.randrange(12)}"
    version = versions.get(stream, 0)
    events = chance.choice([1, 1, 1, 2, 3, 0 if chance.random() < 0.2 else 1])
    versions[stream] = version + events
    if chance.random() < 0.02:
        version += chance.choice([-1, 1])
    command = f"c{chance.randrange(400)}" if chance.random() < 0.03 else f"c{chance.randrange(10**9)}"
    made = entry(stream, version, command + ("\0" if chance.random() < 0.01 else ""), events)
    return msgspec.structs.replace(made, traceparent="00-1-1-01") if chance.random() < 0.1 else made


def _comparable(appended: Appended) -> tuple[int, dict[int, object]]:
    refused: dict[int, object] = {
        index: Unstorable if isinstance(refusal, Unstorable) else refusal for index, refusal in appended.refused.items()
    }
    return appended.position_before, refused


async def test_the_common_batch_takes_one_round_trip(new_url: NewUrl) -> None:
    url = new_url()
    async with proxy(url) as between, PostgresEventStore(between.url) as store:
        await store.append([entry("a-0", 0, "c0")], NOON)
        await store.append([entry("a-0", 1, "c1")], NOON)
        batch = [entry(f"a-{number}", 0, f"d{number}", 1 + number % 3) for number in range(1, 50)]
        batch += [entry("a-0", 2, "e1", 0), entry("b-0", 0, "e2", 0)]
        # The answer does not come before the request is whole; all that it asks for has then been done.
        between.stall_after(0, to_server=False)
        async with anyio.create_task_group() as group:
            group.start_soon(store.append, batch, NOON)
            await between.reached.wait()
            assert len(await recorded(url)) == 2 + sum(len(one.events) for one in batch)
            between.release()


def test_a_batch_that_does_not_fit_itself_is_not_tried_at_once() -> None:
    heads = Heads(10)
    assert all_at_once([entry("a-1", 0, "c1"), entry("a-1", 2, "c2")], 0, heads) is None
    assert all_at_once([entry("a-1", -1, "c1")], 0, heads) is None
    assert all_at_once([entry("a-1\x1f", 0, "c1")], 0, heads) is None
    assert all_at_once([entry("a-1", 0, "c1"), entry("a-1", 1, "c2")], 0, heads) is not None


def test_only_versions_that_are_not_remembered_are_looked_for() -> None:
    heads = Heads(10)
    heads.update({"a-1": 3}, (7, "c7"))
    batch = [entry("a-1", 3, "c1"), entry("a-2", 2, "c2"), entry("a-3", 0, "c3"), entry("a-4", 5, "c4", 0)]
    staged = all_at_once(batch, 0, heads)
    assert staged is not None
    assert staged.arguments[-3:-1] == (7, "c7")
    rest = msgspec.json.decode(staged.arguments[-1])
    assert {name: rest[name] for name in rest if name.startswith(("there", "free"))} == {
        "there_streams": ["a-2", "a-4"],
        "there_versions": [2, 5],
        "free_streams": ["a-4"],
        "free_versions": [6],
        "free_command_ids": ["c4"],
    }
    assert staged.reached == {"a-1": 4, "a-2": 3, "a-3": 1, "a-4": 5}


def test_what_a_batch_seldom_has_is_told_apart_from_what_all_have() -> None:
    heads = Heads(10)
    heads.update({"a-1": 3}, (7, "c7"), ["event-0"])
    usual = all_at_once([entry("a-1", 3, "c1"), entry("a-2", 0, "c2")], 0, heads)
    assert usual is not None
    assert usual.arguments[-1] is None
    # A context may hold what joins the others, and fingerprints need not be of one length.
    seldom = [msgspec.structs.replace(entry("a-1", 3, "c1"), correlation_id="a\x1fb"), entry("a-2", 0, "c20")]
    unusual = all_at_once(seldom, 0, heads)
    assert unusual is not None
    assert msgspec.json.decode(unusual.arguments[-1]) == {
        "correlation_ids": ["a\x1fb", None],
        "fingerprints": [seldom[0].fingerprint.hex(), seldom[1].fingerprint.hex()],
    }


async def test_fingerprints_of_several_lengths_are_kept_and_so_is_an_empty_one(new_url: NewUrl) -> None:
    batches = [[b"", b"\x01\x02"], [b""], [b"\x03\x04\x05\x06", b"\x07\x08\x09\x0a"]]
    async with PostgresEventStore(new_url()) as store:
        for number, prints in enumerate(batches):
            batch = [
                msgspec.structs.replace(entry(f"a-{number}-{place}", 0, f"c{number}-{place}"), command=one)
                for place, one in enumerate(prints)
            ]
            assert not (await store.append(batch, NOON)).refused
        assert [event.fingerprint for event in await store.page(0, 9)] == [one for prints in batches for one in prints]


async def test_who_opened_the_store_with_the_release_before_goes_on_appending(new_url: NewUrl, sql: Sql) -> None:
    url = new_url()
    async with PostgresEventStore(url) as store:
        assert await store.append([entry("a-1", 0, "c1")], NOON) == Appended(0, {})
        await sql(
            f"CALL {schema_of(url)}.append_all('a-2', '{{1}}', 'event-0', ARRAY['x'::bytea], 0, 'c2', NULL, "
            f"ARRAY['p'::bytea], {', '.join(['NULL'] * 13)})"
        )
        assert await store.append([entry("a-1", 1, "c3"), entry("a-2", 1, "c4")], NOON) == Appended(2, {})
    check_log(await recorded(url))


async def test_a_value_of_a_wrong_type_is_refused_alone(new_url: NewUrl) -> None:
    wrong = [NewEvent("x", "a text"), NewEvent("x", object())]  # type: ignore[arg-type]
    batch = [entry("a-1", 0, "c1", wrong[:1]), entry("a-2", 0, "c2", wrong[1:]), entry("a-3", 0, "c3")]
    async with PostgresEventStore(new_url()) as store:
        appended = await store.append(batch, NOON)
        assert {index: type(refusal) for index, refusal in appended.refused.items()} == {0: Unstorable, 1: Unstorable}
        assert await store.head() == 1


def test_what_no_database_holds_is_refused_before_it_is_sent() -> None:
    _, faults = each_by_itself([entry("a-1", 0, "c1"), entry("a-1\0", 0, "c2")], 0)
    assert set(faults) == {1}


async def test_a_name_too_long_for_an_index_is_refused_alone(new_url: NewUrl) -> None:
    # Chance, since what can be compressed would still find room.
    long = random.Random(1).randbytes(5_000).hex()
    batch = [entry("a-1", 0, "c1"), entry(f"a-{long}", 0, "c2"), entry(f"a-{long}", 0, "c3"), entry("a-2", 0, "c4")]
    async with PostgresEventStore(new_url()) as store:
        appended = await store.append(batch, NOON)
        refusal = appended.refused[1]
        assert isinstance(refusal, Unstorable)
        assert "index row" in refusal.reason
        assert appended.refused[2] == Stale(0)
        assert set(appended.refused) == {1, 2}
        assert await store.head() == 2


async def test_events_taken_away_behind_the_stores_back_leave_no_gap(new_url: NewUrl, sql: Sql) -> None:
    url = new_url()
    async with PostgresEventStore(url) as store:
        await store.append([entry("a-1", 0, "c1"), entry("a-1", 1, "c2"), entry("a-2", 0, "c3")], NOON)
        # As a failover to a standby does that had not got everything.
        await sql(f"DELETE FROM {schema_of(url)}.events WHERE position > 1")
        assert await store.append([entry("a-1", 2, "c4"), entry("a-2", 1, "c5")], NOON) == Appended(
            1, {0: Stale(1), 1: Stale(0)}
        )
    check_log(await recorded(url))


async def test_a_role_that_reads_repeatably_sees_no_stale_head(new_url: NewUrl, sql: Sql, role: str) -> None:
    url = new_url()
    async with PostgresEventStore(url):
        pass
    await sql(f"GRANT USAGE ON SCHEMA {schema_of(url)} TO {role}")
    await sql(f"GRANT ALL ON ALL TABLES IN SCHEMA {schema_of(url)} TO {role}")
    await sql(f"ALTER ROLE {role} SET default_transaction_isolation = 'repeatable read'")
    stores = [PostgresEventStore(as_role(url, role)) for _ in range(4)]

    async def write(number: int, store: PostgresEventStore) -> None:
        async with store:
            for version in range(25):
                assert not (await store.append([entry(f"a-{number}", version, f"{number} {version}")], NOON)).refused

    async with anyio.create_task_group() as group:
        for number, store in enumerate(stores):
            group.start_soon(write, number, store)
    rows = await recorded(url)
    assert len(rows) == 100
    check_log(rows)
