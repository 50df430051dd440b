"""The laws of an event store: appends, and what they leave. An adapter's tests inherit the class and name the store."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import anyio
import msgspec
import pytest

from bus.core.errors import StoreInUse, StoreUnavailable
from bus.core.stored import AlreadyRecorded, Append, Appended, NewEvent, Stale, StoredEvent, Unstorable
from bus.ports import EventStore
from tests.contracts.entries import NOON, entry, places

NewStore = Callable[[], EventStore]
"""Makes a store that holds nothing and is not open; another one each time."""

HOSTILE = ("x'; DROP TABLE events; --", 'a"b\\c', "line\nbreak\ttab\x01", "naïve-日本-😀", "%_*?", "{}[],:", " ")


class EventStoreLaws:
    """Needs a fixture `new_store`."""

    async def test_a_new_store_is_empty(self, new_store: NewStore) -> None:
        async with new_store() as store:
            assert await store.head() == 0
            assert list(await store.page(0, 10)) == []

    async def test_a_store_keeps_its_identity_and_no_other_has_it(self, new_store: NewStore) -> None:
        one, other = new_store(), new_store()
        async with one, other:
            identity = one.identity
            assert identity
            assert identity != other.identity
        async with one:
            assert one.identity == identity

    async def test_versions_and_positions_count_from_one_in_the_order_of_the_batch(self, new_store: NewStore) -> None:
        async with new_store() as store:
            first = await store.append([entry("a-1", 0, "c1", 2), entry("a-2", 0, "c2")], NOON)
            second = await store.append([entry("a-2", 1, "c3"), entry("a-1", 2, "c4"), entry("a-1", 3, "c5")], NOON)
            assert first == Appended(0, {})
            assert second == Appended(3, {})
            assert places(await store.page(0, 10)) == [
                (1, "a-1", 1),
                (2, "a-1", 2),
                (3, "a-2", 1),
                (4, "a-2", 2),
                (5, "a-1", 3),
                (6, "a-1", 4),
            ]
            assert await store.head() == 6

    async def test_an_event_is_read_back_as_it_was_appended(self, new_store: NewStore) -> None:
        payload = bytes(range(256))
        given = Append(
            "a-1",
            0,
            (NewEvent("something-happened", payload),),
            "c1",
            b"\0\xff",
            "conversation",
            "cause",
            "00-trace-01",
        )
        local = NOON.astimezone(timezone(timedelta(hours=-5)))
        async with new_store() as store:
            await store.append([given], local)
            (event,) = await store.page(0, 10)
        assert event == StoredEvent(
            1, "a-1", 1, "something-happened", payload, NOON, "c1", b"\0\xff", "conversation", "cause", "00-trace-01"
        )
        assert event.recorded_at.tzinfo is UTC

    async def test_the_time_of_each_append_is_kept_to_the_microsecond_even_if_it_goes_back(
        self, new_store: NewStore
    ) -> None:
        moments = [
            NOON,
            NOON - timedelta(days=20_000, microseconds=7),
            datetime(9999, 12, 31, 23, 59, 59, 999_999, UTC),
        ]
        async with new_store() as store:
            for number, moment in enumerate(moments):
                await store.append([entry("a-1", number, f"c{number}")], moment)
            assert [event.recorded_at for event in await store.page(0, 10)] == moments

    @pytest.mark.parametrize("expected", [0, 1, 3, 2**63])
    async def test_a_stream_at_another_version_is_stale_and_its_neighbours_are_recorded(
        self, new_store: NewStore, expected: int
    ) -> None:
        async with new_store() as store:
            await store.append([entry("a-1", 0, "c1", 2)], NOON)
            batch = [entry("a-2", 0, "c2"), entry("a-1", expected, "c3"), entry("a-3", 0, "c4")]
            assert await store.append(batch, NOON) == Appended(2, {1: Stale(2)})
            assert places(await store.page(2, 10)) == [(3, "a-2", 1), (4, "a-3", 1)]

    async def test_a_new_stream_is_at_version_zero(self, new_store: NewStore) -> None:
        async with new_store() as store:
            assert await store.append([entry("a-1", 1, "c1")], NOON) == Appended(0, {0: Stale(0)})

    async def test_a_refused_command_may_be_appended_again(self, new_store: NewStore) -> None:
        async with new_store() as store:
            await store.append([entry("a-1", 3, "c1")], NOON)
            assert await store.append([entry("a-1", 0, "c1")], NOON) == Appended(0, {})

    async def test_a_command_is_recorded_once_whatever_version_or_stream_it_comes_with(
        self, new_store: NewStore
    ) -> None:
        async with new_store() as store:
            await store.append([entry("a-0", 0, "c0"), entry("a-1", 0, "c1", 3)], NOON)
            recorded = AlreadyRecorded(tuple(await store.page(1, 3)))
            for again in (
                entry("a-1", 3, "c1"),
                entry("a-1", 0, "c1"),
                entry("b-9", 0, "c1"),
                entry("a-1", 3, "c1", 0),
            ):
                batch = [entry("c-1", await store.head() - 4, f"before {again}"), again]
                assert (await store.append(batch, NOON)).refused == {1: recorded}

    async def test_a_command_that_comes_twice_in_a_batch_is_recorded_once(self, new_store: NewStore) -> None:
        async with new_store() as store:
            batch = [entry("a-1", 0, "c1", 2), entry("a-1", 2, "c1"), entry("a-2", 0, "c1"), entry("a-3", 0, "c2")]
            appended = await store.append(batch, NOON)
            events = tuple(await store.page(0, 2))
            assert appended == Appended(0, {1: AlreadyRecorded(events), 2: AlreadyRecorded(events)})
            assert places(await store.page(2, 9)) == [(3, "a-3", 1)]

    async def test_the_identical_batch_appended_again_records_nothing(self, new_store: NewStore) -> None:
        async with new_store() as store:
            batch = [entry("a-1", 0, "c1"), entry("a-1", 1, "c2", 2), entry("a-2", 0, "c3")]
            await store.append(batch, NOON)
            again = await store.append(batch, NOON + timedelta(seconds=1))
            assert {index: places(refusal.events) for index, refusal in _recorded(again).items()} == {
                0: [(1, "a-1", 1)],
                1: [(2, "a-1", 2), (3, "a-1", 3)],
                2: [(4, "a-2", 1)],
            }
            assert again.position_before == await store.head() == 4

    @pytest.mark.parametrize("later", [0, 1])
    async def test_what_follows_a_refused_entry_in_its_stream_is_stale_even_at_the_right_version(
        self, new_store: NewStore, later: int
    ) -> None:
        async with new_store() as store:
            await store.append([entry("a-1", 0, "c1")], NOON)
            batch = [entry("a-1", 0, "c2"), entry("a-1", 1, "c3", later), entry("a-2", 0, "c4"), entry("a-1", 1, "c5")]
            assert await store.append(batch, NOON) == Appended(1, {0: Stale(1), 1: Stale(1), 3: Stale(1)})
            assert await store.append([entry("a-1", 1, "c3")], NOON) == Appended(2, {})

    async def test_an_entry_before_the_refused_one_is_recorded(self, new_store: NewStore) -> None:
        async with new_store() as store:
            batch = [entry("a-1", 0, "c1"), entry("a-1", 0, "c2"), entry("a-1", 1, "c3")]
            assert await store.append(batch, NOON) == Appended(0, {1: Stale(1), 2: Stale(1)})

    async def test_a_command_already_recorded_is_told_so_even_after_a_refused_entry(self, new_store: NewStore) -> None:
        async with new_store() as store:
            await store.append([entry("a-1", 0, "c1"), entry("a-1", 1, "c2")], NOON)
            appended = await store.append([entry("a-1", 0, "c3"), entry("a-1", 1, "c2")], NOON)
            assert appended.refused == {0: Stale(2), 1: AlreadyRecorded(tuple(await store.page(1, 1)))}

    async def test_an_entry_without_events_is_compared_and_leaves_nothing(self, new_store: NewStore) -> None:
        async with new_store() as store:
            await store.append([entry("a-1", 0, "c1")], NOON)
            batch = [
                entry("a-1", 1, "c2", 0),
                entry("a-2", 0, "c3", 0),
                entry("a-3", 1, "c4", 0),
                entry("a-1", 1, "c5"),
            ]
            assert await store.append(batch, NOON) == Appended(1, {2: Stale(0)})
            assert places(await store.page(1, 9)) == [(2, "a-1", 2)]
            # It left no proof, so its id may still record.
            assert await store.append([entry("a-1", 2, "c2"), entry("a-2", 0, "c3")], NOON) == Appended(2, {})

    async def test_an_empty_batch_tells_the_position(self, new_store: NewStore) -> None:
        async with new_store() as store:
            await store.append([entry("a-1", 0, "c1", 3)], NOON)
            assert await store.append([], NOON) == Appended(3, {})

    @pytest.mark.parametrize("text", ["nul\0", "\0", "surrogate\ud800"])
    @pytest.mark.parametrize("field", ["stream", "command_id", "correlation_id", "causation_id", "traceparent"])
    async def test_a_text_that_cannot_be_stored_is_refused_alone(
        self, new_store: NewStore, field: str, text: str
    ) -> None:
        bad = msgspec.structs.replace(entry("b-1", 0, "c2"), **{field: text})
        async with new_store() as store:
            appended = await store.append([entry("a-1", 0, "c1"), bad, entry("a-2", 0, "c3")], NOON)
            assert list(appended.refused) == [1]
            assert isinstance(appended.refused[1], Unstorable)
            assert places(await store.page(0, 9)) == [(1, "a-1", 1), (2, "a-2", 1)]
            assert await store.append([entry("b-1", 0, "c2")], NOON) == Appended(2, {})

    async def test_an_entry_of_which_one_event_cannot_be_stored_leaves_none(self, new_store: NewStore) -> None:
        events = [NewEvent("good", b"{}"), NewEvent("bad\ud800", b"{}")]
        async with new_store() as store:
            batch = [entry("a-1", 0, "c1", events), entry("a-1", 0, "c2"), entry("a-2", 0, "c3")]
            appended = await store.append(batch, NOON)
            assert isinstance(appended.refused[0], Unstorable)
            assert appended.refused[1] == Stale(0)
            assert places(await store.page(0, 9)) == [(1, "a-2", 1)]

    @pytest.mark.parametrize("text", HOSTILE)
    async def test_texts_that_mean_something_elsewhere_mean_nothing(self, new_store: NewStore, text: str) -> None:
        given = Append(text, 0, (NewEvent(text, text.encode()),), text, text.encode(), text, text, text)
        async with new_store() as store:
            await store.append([given], NOON)
            event = StoredEvent(1, text, 1, text, text.encode(), NOON, text, text.encode(), text, text, text)
            assert list(await store.page(0, 9)) == [event]
            assert list(await store.stream_pages({text: 0}, 9)) == [event]
            assert dict(await store.find_commands([text])) == {text: AlreadyRecorded((event,))}

    @pytest.mark.parametrize("entries", [1, 63, 64, 65, 255, 257, 700])
    async def test_a_batch_of_any_size_is_recorded_whole(self, new_store: NewStore, entries: int) -> None:
        async with new_store() as store:
            batch = [entry(f"a-{number % 50}", number // 50, f"c{number}") for number in range(entries)]
            assert await store.append(batch, NOON) == Appended(0, {})
            assert [event.command_id for event in await store.page(0, 1_000)] == [one.command_id for one in batch]

    async def test_content_survives_closing_and_appends_go_on_from_it(self, new_store: NewStore) -> None:
        store = new_store()
        async with store:
            await store.append([entry("a-1", 0, "c1", 2)], NOON)
            before = list(await store.page(0, 9))
        async with store:
            assert list(await store.page(0, 9)) == before
            batch = [entry("a-1", 2, "c2"), entry("a-1", 3, "c1")]
            assert await store.append(batch, NOON) == Appended(2, {1: AlreadyRecorded(tuple(before))})

    async def test_a_store_that_is_not_open_says_so(self, new_store: NewStore) -> None:
        store = new_store()
        async with store:
            pass
        with pytest.raises(StoreUnavailable, match="not open"):
            await store.append([entry("a-1", 0, "c1")], NOON)
        with pytest.raises(StoreUnavailable, match="not open"):
            await store.page(0, 1)

    async def test_a_store_in_use_is_refused_to_a_second_bus_and_serves_the_first(self, new_store: NewStore) -> None:
        store = new_store()
        async with store:
            with pytest.raises(StoreInUse):
                await store.__aenter__()
            assert await store.append([entry("a-1", 0, "c1")], NOON) == Appended(0, {})

    async def test_of_appends_at_the_same_time_one_wins_each_version(self, new_store: NewStore) -> None:
        outcomes: list[Appended] = []
        async with new_store() as store:

            async def one(number: int) -> None:
                outcomes.append(
                    await store.append([entry("a-1", 0, f"c{number}"), entry(f"b-{number}", 0, f"d{number}")], NOON)
                )

            async with anyio.create_task_group() as group:
                for number in range(20):
                    group.start_soon(one, number)
            assert sorted(len(outcome.refused) for outcome in outcomes) == [0] + [1] * 19
            assert [event.position for event in await store.page(0, 99)] == list(range(1, 22))

    async def test_a_reader_never_sees_a_gap_while_others_append(self, new_store: NewStore) -> None:
        async with new_store() as store:
            done = anyio.Event()

            async def write() -> None:
                for number in range(50):
                    await store.append([entry("a-1", 2 * number, f"c{number}", 2)], NOON)
                    await anyio.lowlevel.checkpoint()
                done.set()

            async with anyio.create_task_group() as group:
                group.start_soon(write)
                while not done.is_set():
                    head = await store.head()
                    positions = [event.position for event in await store.page(0, 1_000)]
                    assert positions == list(range(1, len(positions) + 1))
                    assert len(positions) >= head
                    assert len(positions) % 2 == 0
                    await anyio.lowlevel.checkpoint()


def _recorded(appended: Appended) -> dict[int, Any]:
    return appended.refused
