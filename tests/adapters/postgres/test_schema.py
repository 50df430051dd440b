"""A schema is created once, brought up to date, or refused, and then nothing is changed."""

from collections.abc import Callable
from typing import Any

import anyio
import msgspec
import pytest

from adapters.postgres import PostgresEventStore, PostgresViewStore
from adapters.postgres.events import LAYOUT
from bus.core.errors import StoreNotReadable, StoreReadOnly, StoreTooNew, StoreUnavailable, Unusable
from bus.core.stored import Checkpoint, ViewChanges
from tests.adapters.postgres.conftest import Sql
from tests.adapters.postgres.databases import as_role, schema_of
from tests.contracts.entries import NOON, entry
from tests.contracts.letters import request
from tests.contracts.view_store import PLAIN

NewUrl = Callable[[], str]


async def test_ten_that_open_at_once_find_one_store(new_url: NewUrl) -> None:
    url = new_url()
    identities: set[str] = set()

    async def opened() -> None:
        async with PostgresEventStore(url) as store, PostgresViewStore(url):
            identities.add(store.identity)

    async with anyio.create_task_group() as group:
        for _ in range(10):
            group.start_soon(opened)
    assert len(identities) == 1


async def test_events_and_views_share_a_schema_and_schemas_share_a_database(new_url: NewUrl) -> None:
    one, other = new_url(), new_url()
    async with PostgresEventStore(one) as events, PostgresViewStore(one), PostgresEventStore(other) as others:
        await events.append([entry("a-1", 0, "c1")], NOON)
        assert await others.head() == 0


@pytest.mark.parametrize(
    ("make", "table"), [(PostgresEventStore, "event_store"), (PostgresViewStore, "view_store")], ids=["events", "views"]
)
async def test_a_schema_of_a_later_release_is_refused(
    new_url: NewUrl, sql: Sql, make: Callable[[str], PostgresEventStore | PostgresViewStore], table: str
) -> None:
    url = new_url()
    async with make(url):
        pass
    await sql(f"UPDATE {schema_of(url)}.{table} SET schema_version = 99")
    with pytest.raises(StoreTooNew, match="schema version 99"):
        await make(url).__aenter__()


async def test_reading_creates_nothing(new_url: NewUrl, sql: Sql) -> None:
    url = new_url()
    with pytest.raises(StoreNotReadable, match="nothing was ever recorded"):
        await PostgresEventStore(url, read_only=True).__aenter__()
    with pytest.raises(StoreNotReadable, match="has no view store"):
        await PostgresViewStore(url, read_only=True).__aenter__()
    assert await sql("SELECT 1 FROM pg_namespace WHERE nspname = $1", schema_of(url)) == []


async def test_a_store_that_was_opened_to_read_refuses_to_append(new_url: NewUrl) -> None:
    url = new_url()
    async with PostgresEventStore(url) as store:
        await store.append([entry("a-1", 0, "c1")], NOON)
    async with PostgresEventStore(url, read_only=True) as store:
        assert await store.head() == 1
        with pytest.raises(StoreUnavailable, match="read-only"):
            await store.append([entry("a-1", 1, "c2")], NOON)


@pytest.mark.parametrize(
    "write",
    [
        lambda store: store.prepare([PLAIN]),
        lambda store: store.reindex(msgspec.structs.replace(PLAIN, indexes=("at",)), lambda payload: (), 9),
        lambda store: store.claim([PLAIN], "me", 9.0),
        lambda store: store.release([PLAIN], "me"),
        lambda store: store.commit(PLAIN, ViewChanges(Checkpoint(), Checkpoint(), (), ())),
        lambda store: store.ask(request(1)),
        lambda store: store.answer(request(1)),
    ],
    ids=["prepare", "reindex", "claim", "release", "commit", "ask", "answer"],
)
async def test_views_that_were_opened_to_look_at_refuse_to_be_changed(new_url: NewUrl, write: Any) -> None:
    url = new_url()
    async with PostgresViewStore(url) as store:
        await store.prepare([PLAIN])
    async with PostgresViewStore(url, read_only=True) as store:
        assert [one.table for one in await store.builds()] == [PLAIN]
        with pytest.raises(StoreUnavailable, match="read-only"):
            await write(store)


async def test_a_role_that_may_read_only_may_look_at_views(new_url: NewUrl, sql: Sql, role: str) -> None:
    url = new_url()
    async with PostgresViewStore(url) as store:
        await store.prepare([PLAIN])
    await sql(f"GRANT USAGE ON SCHEMA {schema_of(url)} TO {role}")
    await sql(f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema_of(url)} TO {role}")
    with pytest.raises(StoreReadOnly, match="permission denied"):
        await PostgresViewStore(as_role(url, role)).__aenter__()
    async with PostgresViewStore(as_role(url, role), read_only=True) as store:
        (build,) = await store.builds()
        assert dict(await store.parked(build.table)) == {}


async def test_a_role_that_may_not_create_the_schema_is_told_so(new_url: NewUrl, role: str) -> None:
    with pytest.raises(StoreReadOnly, match="permission denied"):
        await PostgresEventStore(as_role(new_url(), role)).__aenter__()


async def test_a_role_that_may_read_only_is_refused_at_opening_and_may_read(
    new_url: NewUrl, sql: Sql, role: str
) -> None:
    url = new_url()
    async with PostgresEventStore(url) as store:
        await store.append([entry("a-1", 0, "c1")], NOON)
    await sql(f"GRANT USAGE ON SCHEMA {schema_of(url)} TO {role}")
    await sql(f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema_of(url)} TO {role}")
    with pytest.raises(StoreReadOnly, match="permission denied"):
        await PostgresEventStore(as_role(url, role)).__aenter__()
    async with PostgresEventStore(as_role(url, role), read_only=True) as store:
        assert await store.head() == 1


async def test_a_store_that_could_not_be_opened_may_be_tried_again(new_url: NewUrl, sql: Sql) -> None:
    url = new_url()
    store = PostgresEventStore(url)
    async with PostgresEventStore(url):
        pass
    await sql(f"UPDATE {schema_of(url)}.event_store SET schema_version = 99")
    with pytest.raises(StoreTooNew):
        await store.__aenter__()
    await sql(f"UPDATE {schema_of(url)}.event_store SET schema_version = {len(LAYOUT.migrations())}")
    async with store:
        assert await store.head() == 0


async def test_a_server_or_database_that_is_not_there_is_told_without_the_password(server_url: str) -> None:
    with pytest.raises(Unusable, match="check that the server runs") as refused:
        await PostgresEventStore("postgresql://me:s3cret@127.0.0.1:1/none").__aenter__()
    assert "s3cret" not in f"{refused.value} {refused.value.__cause__}"
    place = server_url.partition("?")[0].rpartition("/")[0]
    with pytest.raises(StoreNotReadable, match="create it first"):
        await PostgresEventStore(f"{place}/no_such_database").__aenter__()
