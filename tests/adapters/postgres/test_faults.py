"""A server that restarts, refuses or goes away in the middle: nothing acknowledged is lost, nothing recorded twice."""

import asyncio
import signal
from collections.abc import Callable

import anyio
import pytest

from adapters.postgres import PostgresEventStore, PostgresViewStore
from adapters.postgres.errors import InDoubt
from bus import Bus, BusError, Limits, NotRecorded, OutcomeUnknown, Receipt, StoreUnavailable
from bus.core.stored import AlreadyRecorded, Append, Appended
from tests.adapters.postgres.conftest import Sql
from tests.adapters.postgres.databases import as_role, check_log, recorded, schema_of
from tests.contracts.entries import NOON, entry
from tests.support.ledger import LEDGER, Deposit, GetJournal
from tests.support.postgres import PostgresServer
from tests.support.proxy import proxy

NewUrl = Callable[[], str]

APPEND_LOCK = "SELECT pg_advisory_lock(1145194870, '{schema}.events'::regclass::oid::integer)"
UNLOCK = "SELECT pg_advisory_unlock_all()"

PATIENT = Limits(append_attempts_max=40, append_backoff_max_s=0.2, restart_backoff_max_s=0.2, shutdown_timeout_s=60)


class Senders:
    """Clients that send until they are told to stop, each command again, with its id, until it is acknowledged."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._stops = False
        self.acknowledged: list[str] = []
        self.failures: list[BusError] = []
        self._progress = asyncio.Event()

    async def run(self, number: int) -> None:
        count = 0
        while not self._stops:
            await self._send(f"{number}-{count}", Deposit(f"{number % 5}", 1))
            count += 1

    async def _send(self, command_id: str, command: Deposit) -> None:
        while True:
            try:
                await self._bus.send(command, command_id=command_id, timeout=60)
            except (NotRecorded, OutcomeUnknown) as error:
                self.failures.append(error)
                await asyncio.sleep(0.01)
            else:
                self.acknowledged.append(command_id)
                self._progress.set()
                return

    async def reach(self, count: int) -> None:
        """Returns when that many more commands are acknowledged."""
        wanted = len(self.acknowledged) + count
        with anyio.fail_after(60):
            while len(self.acknowledged) < wanted:
                await self._progress.wait()
                self._progress.clear()

    def stop(self) -> None:
        self._stops = True


async def _under_load(url: str, disturb: Callable[[Senders], object]) -> Senders:
    """Runs a bus with views on the server while `disturb` does its worst, then checks database and views."""
    bus = Bus(LEDGER, event_store=PostgresEventStore(url), view_store=PostgresViewStore(url), limits=PATIENT)
    async with bus:
        senders = Senders(bus)
        async with anyio.create_task_group() as group:
            for number in range(10):
                group.start_soon(senders.run, number)
            await senders.reach(50)
            await disturb(senders)  # type: ignore[misc]
            await senders.reach(50)
            senders.stop()
        await bus.wait_settled(timeout=60)
        assert all(one.stopped is None for one in bus.statistics().projections)
        journal = await bus.query(GetJournal())
    rows = await recorded(url)
    check_log(rows)
    assert journal is not None
    assert journal.entries == [(position, stream, version) for position, stream, version, _ in rows]
    assert sorted(senders.acknowledged) == sorted(command_id for *_, command_id in rows)
    assert len(senders.acknowledged) == len(set(senders.acknowledged))
    return senders


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["in order", "by a crash"])
async def test_a_server_that_restarts_under_load_loses_and_doubles_nothing(
    server: PostgresServer, new_url: NewUrl, how: signal.Signals
) -> None:
    async def restart(senders: Senders) -> None:
        await asyncio.to_thread(server.stop, how)
        await asyncio.to_thread(server.start)

    await _under_load(new_url(), restart)


async def test_connections_killed_at_any_moment_lose_and_double_nothing(new_url: NewUrl, sql: Sql) -> None:
    async def kill(senders: Senders) -> None:
        for _ in range(25):
            await sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )
            await senders.reach(3)

    await _under_load(new_url(), kill)


@pytest.mark.parametrize("to_server", [True, False], ids=["to the server", "to the client"])
async def test_a_connection_cut_at_any_byte_of_an_append_is_settled_by_the_identical_batch(
    new_url: NewUrl, to_server: bool
) -> None:
    url = new_url()
    async with proxy(url) as between, PostgresEventStore(between.url) as store, PostgresEventStore(url) as direct:
        await store.append([entry("warm-000", 0, "warm-000")], NOON)
        passed = between.to_server if to_server else between.to_client
        await store.append(_batch(0), NOON)
        size = (between.to_server if to_server else between.to_client) - passed
        outcomes: set[str] = set()
        for number, cut in enumerate([*range(0, size, max(1, size // 40)), size - 1], start=1):
            await store.append([entry(f"warm-{number:03}", 0, f"warm-{number:03}")], NOON)
            between.cut_after(cut, to_server=to_server)
            with pytest.raises(InDoubt):
                await store.append(_batch(number), NOON)
            between.release()
            again = await direct.append(_batch(number), NOON)
            assert all(isinstance(refusal, AlreadyRecorded) for refusal in again.refused.values())
            assert len(again.refused) in (0, 2)
            outcomes.add("recorded" if again.refused else "lost")
        # What is cut off at the very end is executed all the same, now or in a moment.
        assert "lost" in outcomes if to_server else outcomes == {"recorded"}
    check_log(await recorded(url))


def _batch(number: int) -> list[Append]:
    """Always of the same size in bytes."""
    return [entry(f"a-{number + 1:03}", 0, f"c{number:03}"), entry(f"b-{number + 1:03}", 0, f"d{number:03}")]


async def test_a_connection_lost_while_the_append_waits_for_the_lock_may_record_later_and_still_once(
    new_url: NewUrl, sql: Sql
) -> None:
    url = new_url()
    async with proxy(url) as between, PostgresEventStore(between.url) as store, PostgresEventStore(url) as direct:
        await sql(APPEND_LOCK.replace("{schema}", schema_of(url)))
        failures: list[Exception] = []

        async def lose() -> None:
            try:
                await store.append(_batch(1), NOON)
            except InDoubt as error:
                failures.append(error)

        async with anyio.create_task_group() as group:
            group.start_soon(lose)
            await _waiting_for_the_lock(sql)
            between.end()
        assert len(failures) == 1
        # Nothing is there, and yet it is on its way.
        assert await direct.find_commands(["c001", "d001"]) == {}
        appended: list[Appended] = []

        async def again() -> None:
            appended.append(await direct.append(_batch(1), NOON))

        async with anyio.create_task_group() as group:
            group.start_soon(again)
            await _waiting_for_the_lock(sql, 2)
            await sql(UNLOCK)
        assert {index: type(refusal) for index, refusal in appended[0].refused.items()} == dict.fromkeys(
            (0, 1), AlreadyRecorded
        )
    check_log(await recorded(url))


async def _waiting_for_the_lock(sql: Sql, count: int = 1) -> None:
    query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND wait_event = 'advisory'"
    with anyio.fail_after(30):
        while (await sql(query))[0][0] < count:
            await sql("SELECT pg_sleep(0.005)")


@pytest.mark.parametrize("kept_back", [1, 5, 60])
async def test_a_client_that_stalls_with_its_last_bytes_unsent_holds_no_lock(new_url: NewUrl, kept_back: int) -> None:
    url = new_url()
    async with proxy(url) as between, PostgresEventStore(between.url) as store, PostgresEventStore(url) as direct:
        await store.append(_batch(0), NOON)
        passed = between.to_server
        await store.append(_batch(1), NOON)
        between.stall_after(between.to_server - passed - kept_back)
        async with anyio.create_task_group() as group:
            group.start_soon(store.append, _batch(2), NOON)
            await between.reached.wait()
            with anyio.fail_after(20):
                for number in range(10, 20):
                    assert not (await direct.append(_batch(number), NOON)).refused
            between.release()
    rows = await recorded(url)
    check_log(rows)
    assert len(rows) == 26


async def test_too_many_connections_are_told_and_the_store_works_when_there_is_room(
    new_url: NewUrl, sql: Sql, role: str
) -> None:
    url = await _opened_for(new_url(), sql, role)
    await sql(f"ALTER ROLE {role} CONNECTION LIMIT 1")
    async with PostgresEventStore(url) as store:
        # The one that appends is open; there is no other to read by.
        with pytest.raises(StoreUnavailable, match="too many connections"):
            await store.head()
        assert not (await store.append(_batch(1), NOON)).refused
        with pytest.raises(BusError, match="too many connections"):
            await PostgresEventStore(url).__aenter__()
        await sql(f"ALTER ROLE {role} CONNECTION LIMIT 10")
        assert await store.head() == 2


async def test_an_append_whose_duplicates_cannot_be_looked_up_is_in_doubt_for_the_rest_is_recorded(
    new_url: NewUrl, sql: Sql, role: str
) -> None:
    url = await _opened_for(new_url(), sql, role)
    await sql(f"ALTER ROLE {role} CONNECTION LIMIT 1")
    async with PostgresEventStore(url) as store:
        await store.append([entry("a-1", 0, "c1")], NOON)
        batch = [entry("a-1", 1, "c1"), entry("a-2", 0, "c2")]
        # The one that appends is open; there is no other to look up by.
        with pytest.raises(InDoubt, match="too many connections"):
            await store.append(batch, NOON)
        await sql(f"ALTER ROLE {role} CONNECTION LIMIT 10")
        assert await store.head() == 2
        assert {type(refusal) for refusal in (await store.append(batch, NOON)).refused.values()} == {AlreadyRecorded}


async def test_an_append_over_the_statements_time_limit_is_certainly_not_recorded(
    new_url: NewUrl, sql: Sql, role: str
) -> None:
    url = await _opened_for(new_url(), sql, role)
    await sql(f"ALTER ROLE {role} SET statement_timeout = '100ms'")
    async with PostgresEventStore(url) as store:
        await sql(APPEND_LOCK.replace("{schema}", schema_of(url)))
        with pytest.raises(StoreUnavailable, match="statement_timeout"):
            await store.append(_batch(1), NOON)
        await sql(UNLOCK)
        assert await store.head() == 0
        assert not (await store.append(_batch(1), NOON)).refused


async def test_privileges_taken_away_are_told_and_nothing_is_recorded(new_url: NewUrl, sql: Sql, role: str) -> None:
    url = await _opened_for(new_url(), sql, role)
    async with PostgresEventStore(url) as store:
        await sql(f"REVOKE INSERT ON {schema_of(url)}.events FROM {role}")
        with pytest.raises(StoreUnavailable, match=r"permission denied.*grant it"):
            await store.append(_batch(1), NOON)
        assert await store.head() == 0


async def test_an_append_that_gets_no_answer_in_time_is_in_doubt(new_url: NewUrl, sql: Sql) -> None:
    url = new_url()
    async with PostgresEventStore(url):
        pass
    async with PostgresEventStore(url, timeout_s=0.3) as store:
        await sql(APPEND_LOCK.replace("{schema}", schema_of(url)))
        with pytest.raises(InDoubt, match="no answer in time"):
            await store.append(_batch(1), NOON)
        await sql(UNLOCK)


async def test_an_append_given_up_is_whole_or_absent(new_url: NewUrl) -> None:
    url = new_url()
    async with PostgresEventStore(url) as store:
        for number in range(20):
            task = asyncio.ensure_future(store.append(_batch(number), NOON))
            for _ in range(number):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
        for number in range(20):
            assert len((await store.append(_batch(number), NOON)).refused) in (0, 2)
    rows = await recorded(url)
    check_log(rows)
    assert len(rows) == 40


async def test_senders_get_store_unavailable_while_the_server_is_down_and_answers_when_it_is_back(
    server: PostgresServer, new_url: NewUrl
) -> None:
    async with Bus(LEDGER, event_store=PostgresEventStore(new_url()), limits=PATIENT) as bus:
        await bus.send(Deposit("a", 1))
        await asyncio.to_thread(server.stop)
        try:
            outcomes: list[Receipt | BusError] = await bus.send_many([Deposit("a", 1), Deposit("b", 1)], timeout=2)
            assert all(isinstance(outcome, (StoreUnavailable, OutcomeUnknown)) for outcome in outcomes)
            with pytest.raises(StoreUnavailable, match="check that the server runs"):
                await bus.send(Deposit("c", 1))
        finally:
            await asyncio.to_thread(server.start)
        assert (await bus.send(Deposit("c", 1))).version == 1


async def _opened_for(url: str, sql: Sql, role: str) -> str:
    """The URL by which a role that may use the store, and nothing else, opens it."""
    async with PostgresEventStore(url):
        pass
    await sql(f"GRANT USAGE ON SCHEMA {schema_of(url)} TO {role}")
    await sql(f"GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA {schema_of(url)} TO {role}")
    return as_role(url, role)
