"""The desk of a PostgreSQL view store, whose laws the store's own tests run."""

from adapters.postgres import PostgresViewStore
from adapters.postgres.desk import Desk
from tests.adapters.postgres.test_schema import NewUrl
from tests.contracts.letters import request


async def test_a_request_is_found_by_another_store_of_the_same_database(new_url: NewUrl) -> None:
    url = new_url()
    async with PostgresViewStore(url) as one, PostgresViewStore(url) as other:
        assert isinstance(one, Desk)
        await one.ask(request(1))
        assert list(await other.requests(is_open=True, limit=9)) == [request(1)]
        assert await other.asked("request-1") == request(1)
