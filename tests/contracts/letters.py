"""The laws of dead letters and requests in a view store. An adapter's tests inherit the class and name the store."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from bus.core.letters import DeadLetter, Request
from bus.core.stored import Checkpoint, StoredView, ViewChanges, ViewTable
from tests.contracts.view_store import BOARD, FIRST, PLAIN, START, NewViewStore

NOON = datetime(2013, 1, 1, 12, 0, 0, 123456, tzinfo=UTC)


def letter(key: str, position: int, error: str | None = None, table: ViewTable = PLAIN) -> DeadLetter:
    return DeadLetter(
        projection=table.projection,
        version=table.version,
        key=key,
        position=position,
        stream="a-1",
        stream_version=position,
        name="happened",
        error=error,
        attempts=0 if error is None else 5,
        first_at=NOON,
        last_at=NOON + timedelta(microseconds=position),
        trace_id=None if error is None else "0af7651916cd43dd8448eb211c80319c",
    )


def request(number: int) -> Request:
    return Request(
        id=f"request-{number}",
        projection="plain",
        version=1,
        action="discard",
        key="k",
        position=number,
        reason='it\'s a "test" \0 \ud800'.encode("utf-8", "replace").decode(),
        asked_at=NOON,
    )


class LetterLaws:
    """Needs a fixture `new_store`."""

    async def test_letters_and_checkpoint_are_there_after_a_commit(self, new_store: NewViewStore) -> None:
        store = new_store()
        wanted = [letter("l", 5, "ZeroDivisionError: é 😀"), letter("k", 6, "a bug"), letter("l", 6), letter("k", 7)]
        async with store:
            await store.prepare([PLAIN, BOARD])
            assert dict(await store.parked(PLAIN)) == {}
            views = (StoredView("m", b"1"),)
            assert await store.commit(PLAIN, ViewChanges(START, FIRST, views, (), 0, tuple(wanted[::-1])))
            assert dict(await store.parked(PLAIN)) == {"k": 2, "l": 2}
            assert list(await store.letters(PLAIN, limit=99)) == wanted
            assert dict(await store.prepare([PLAIN])) == {PLAIN: FIRST}
        async with store:
            await store.prepare([PLAIN, BOARD])
            assert list(await store.letters(PLAIN, limit=99)) == wanted
            assert list(await store.letters(BOARD, limit=99)) == []
            assert dict(await store.parked(BOARD)) == {}

    async def test_letters_come_in_pages_of_all_keys_or_of_one(self, new_store: NewViewStore) -> None:
        letters = [letter(key, position) for position in (3, 4, 9) for key in ("A", "a", "é", "😀")]
        async with new_store() as store:
            await store.prepare([PLAIN])
            await store.commit(PLAIN, ViewChanges(START, FIRST, (), (), 0, tuple(letters)))
            found: list[DeadLetter] = []
            while page := await store.letters(
                PLAIN, after=(found[-1].position, found[-1].key) if found else (0, ""), limit=5
            ):
                found += page
            assert found == letters
            assert list(await store.letters(PLAIN, "a", after=(3, "a"), limit=1)) == [letter("a", 4)]
            assert list(await store.letters(PLAIN, "a", after=(2, "zz"), limit=9)) == [
                letter("a", position) for position in (3, 4, 9)
            ]
            for none in ("none", "nul\0", "surrogate\ud800"):
                assert list(await store.letters(PLAIN, none, limit=9)) == []

    async def test_letters_leave_together_with_what_they_did_to_the_view(self, new_store: NewViewStore) -> None:
        async with new_store() as store:
            await store.prepare([PLAIN])
            letters = (letter("k", 3, "a bug"), letter("k", 5), letter("l", 5))
            await store.commit(PLAIN, ViewChanges(START, FIRST, (), (), 0, letters))
            view, gone = (StoredView("k", b"1"),), (("k", 3), ("k", 5))
            assert await store.commit(PLAIN, ViewChanges(FIRST, FIRST, view, (), 0, (), gone))
            assert list(await store.letters(PLAIN, limit=9)) == [letter("l", 5)]
            assert dict(await store.load(PLAIN, ["k"])) == {"k": b"1"}

    @pytest.mark.parametrize("gone", [(("k", 4),), (("k", 3), ("k", 4)), (("l", 3),), (("k", 3), ("none", 3))])
    async def test_where_one_to_be_removed_is_gone_nothing_is_written(
        self, new_store: NewViewStore, gone: tuple[tuple[str, int], ...]
    ) -> None:
        async with new_store() as store:
            await store.prepare([PLAIN])
            await store.commit(PLAIN, ViewChanges(START, FIRST, (), (), 0, (letter("k", 3, "a bug"), letter("k", 5))))
            after = Checkpoint(9, "store", "a-1", 9)
            view = (StoredView("k", b"1"),)
            assert not await store.commit(PLAIN, ViewChanges(FIRST, after, view, (), 0, (letter("m", 9),), gone))
            assert [(one.key, one.position) for one in await store.letters(PLAIN, limit=9)] == [("k", 3), ("k", 5)]
            assert dict(await store.load(PLAIN, ["k"])) == {}
            assert dict(await store.prepare([PLAIN])) == {PLAIN: FIRST}

    async def test_one_that_was_tried_again_takes_the_place_of_the_old(self, new_store: NewViewStore) -> None:
        again = msgspec.structs.replace(letter("k", 3, "another bug"), attempts=6, last_at=NOON + timedelta(days=1))
        async with new_store() as store:
            await store.prepare([PLAIN])
            await store.commit(PLAIN, ViewChanges(START, FIRST, (), (), 0, (letter("k", 3, "a bug"),)))
            assert await store.commit(PLAIN, ViewChanges(FIRST, FIRST, (), (), 0, (again,), (("k", 3),)))
            assert list(await store.letters(PLAIN, limit=9)) == [again]

    async def test_a_commit_that_is_refused_keeps_no_letter(self, new_store: NewViewStore) -> None:
        async with new_store() as store:
            await store.prepare([PLAIN])
            assert not await store.commit(PLAIN, ViewChanges(FIRST, FIRST, (), (), 0, (letter("k", 3),)))
            assert list(await store.letters(PLAIN, limit=9)) == []

    async def test_a_snapshot_has_the_letters_of_its_moment(self, new_store: NewViewStore) -> None:
        async with new_store() as store:
            await store.prepare([PLAIN])
            await store.commit(PLAIN, ViewChanges(START, FIRST, (), (), 0, (letter("k", 3, "a bug"), letter("l", 5))))
            async with store.snapshot() as old:
                await store.commit(PLAIN, ViewChanges(FIRST, FIRST, (), (), 0, (letter("m", 4),), (("k", 3),)))
                assert list(await old.letters(PLAIN, 3, 4)) == [letter("k", 3, "a bug")]
                assert list(await old.letters(PLAIN, 4, 3)) == []
                async with store.snapshot() as new:
                    assert list(await new.letters(PLAIN, 3, 5)) == [letter("m", 4), letter("l", 5)]
                    assert list(await new.letters(PLAIN, 5, 5)) == [letter("l", 5)]

    async def test_requests_are_open_until_they_are_answered(self, new_store: NewViewStore) -> None:
        store = new_store()
        async with store:
            for number in (1, 2, 3):
                await store.ask(request(number))
            assert list(await store.requests(is_open=True, limit=2)) == [request(1), request(2)]
            done = msgspec.structs.replace(
                request(2), to_drop=(2, None), answered_at=NOON, is_done=True, answer="it's done"
            )
            await store.answer(done)
            # Whoever was paused meanwhile comes too late.
            await store.answer(msgspec.structs.replace(done, answer="it's done twice"))
            await store.answer(request(99))
        async with store:
            assert list(await store.requests(is_open=True, limit=9)) == [request(1), request(3)]
            assert list(await store.requests(is_open=False, limit=9)) == [done]
            assert await store.asked("request-2") == done
            assert await store.asked("request-3") == request(3)
            assert await store.asked("none") is None
