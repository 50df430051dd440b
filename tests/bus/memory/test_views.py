"""The view store in memory keeps the laws of its port, on both event loops."""

import msgspec
import pytest

from bus.memory import MemoryViewStore
from tests.contracts.entries import NOON
from tests.contracts.leases import LeaseLaws, NewPair
from tests.contracts.letters import LetterLaws, request
from tests.contracts.view_builds import SharedBuildLaws, ViewBuildLaws
from tests.contracts.view_finding import ViewFindingLaws
from tests.contracts.view_reindexing import ViewReindexingLaws
from tests.contracts.view_store import NewViewStore, ViewStoreLaws


class TestMemoryViewStore(ViewStoreLaws, ViewFindingLaws, ViewReindexingLaws, ViewBuildLaws, LetterLaws):
    @pytest.fixture
    def new_store(self) -> NewViewStore:
        return MemoryViewStore


class TestMemoryLeases(LeaseLaws, SharedBuildLaws):
    @pytest.fixture
    def new_pair(self) -> NewPair:
        def pair() -> tuple[MemoryViewStore, MemoryViewStore]:
            store = MemoryViewStore(shared=True)
            return store, store

        return pair


async def test_requests_that_were_answered_long_ago_are_forgotten() -> None:
    async with MemoryViewStore() as store:
        for number in range(1_500):
            await store.ask(request(number))
            await store.answer(msgspec.structs.replace(request(number), answered_at=NOON))
        await store.ask(request(1_500))
        assert await store.asked("request-0") is None
        assert await store.asked("request-1499") is not None
        assert len(await store.requests(is_open=False, limit=9_999)) == 1_000
