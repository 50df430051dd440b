"""Stores in memory are used as those on disk are: inside `async with`, by one bus at a time unless shared."""

import pytest

from bus.core.errors import StoreInUse, StoreUnavailable
from bus.memory.opened import Opened


async def test_it_serves_one_user_at_a_time_and_may_be_opened_again() -> None:
    store = Opened()
    async with store:
        with pytest.raises(StoreInUse, match="close it first"):
            await store.__aenter__()
    async with store:
        store.check_open()


async def test_it_is_of_no_use_outside_its_block() -> None:
    store = Opened()
    async with store:
        pass
    with pytest.raises(StoreUnavailable, match="inside `async with`"):
        store.check_open()


async def test_a_shared_one_is_open_until_its_last_user_has_left() -> None:
    store = Opened()
    store.shared = True
    async with store:
        async with store:
            pass
        store.check_open()
