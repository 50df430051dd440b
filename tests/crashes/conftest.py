"""Fixtures of the crash tests: each store that a worker can be killed on."""

import pytest

from tests.crashes.stores import NewStores, sqlite


@pytest.fixture(params=[pytest.param(sqlite, id="sqlite")])
def new_stores(request: pytest.FixtureRequest) -> NewStores:
    return request.param  # type: ignore[no-any-return]
