"""The laws of reading an event store: by position, by stream, by command."""

import itertools

from bus.core.stored import AlreadyRecorded, NewEvent
from bus.ports import EventStore
from tests.contracts.entries import NOON, entry, places
from tests.contracts.event_store import NewStore


class EventReadingLaws:
    """Needs a fixture `new_store`."""

    async def test_every_stored_name_is_known_with_the_category_where_it_was_first_seen(
        self, new_store: NewStore
    ) -> None:
        store = new_store()
        names = {"one": "a", "two": "a", "two@2": "nodash", "three": "c.d"}
        async with store:
            assert dict(await store.names()) == {}
            batch = [
                entry("a-1", 0, "c1", [NewEvent("one", b""), NewEvent("two", b"")]),
                entry("nodash", 0, "c2", [NewEvent("two", b""), NewEvent("two@2", b"")]),
                entry("a-1", 0, "c3", [NewEvent("never", b"")]),
                entry("a-1\0", 0, "c4", [NewEvent("never", b"")]),
            ]
            assert list((await store.append(batch, NOON)).refused) == [2, 3]
            await store.append([entry("c.d-x-y", 0, "c5", [NewEvent("three", b"")])], NOON)
            await store.append([entry("e-1", 0, "c6", [NewEvent("one", b"")])], NOON)
            assert dict(await store.names()) == names
        async with store:
            assert dict(await store.names()) == names
            await store.append([entry("e-1", 1, "c7", [NewEvent("four", b""), NewEvent("one", b"")])], NOON)
            assert dict(await store.names()) == {**names, "four": "e"}

    async def test_a_page_begins_after_the_position_and_ends_at_the_limit(self, new_store: NewStore) -> None:
        async with new_store() as store:
            await _fill(store)
            assert [event.position for event in await store.page(0, 3)] == [1, 2, 3]
            assert [event.position for event in await store.page(3, 3)] == [4, 5, 6]
            assert [event.position for event in await store.page(6, 3)] == [7, 8]
            assert list(await store.page(8, 3)) == []
            assert list(await store.page(99, 3)) == []

    async def test_a_stream_is_read_by_version_from_the_one_after(self, new_store: NewStore) -> None:
        async with new_store() as store:
            await _fill(store)
            assert places(await store.stream_pages({"a-1": 0}, 9)) == [(1, "a-1", 1), (2, "a-1", 2), (6, "a-1", 3)]
            assert places(await store.stream_pages({"a-1": 2}, 9)) == [(6, "a-1", 3)]
            assert list(await store.stream_pages({"a-1": 3}, 9)) == []

    async def test_streams_read_together_come_one_after_the_other(self, new_store: NewStore) -> None:
        async with new_store() as store:
            await _fill(store)
            read = await store.stream_pages({"a-3": 0, "a-1": 1, "none": 0, "a-2": 0}, 99)
            by_stream: dict[str, list[int]] = {}
            for event in read:
                by_stream.setdefault(event.stream, []).append(event.version)
            assert by_stream == {"a-3": [1, 2], "a-1": [2, 3], "a-2": [1, 2, 3]}
            changes = sum(one.stream != other.stream for one, other in itertools.pairwise(read))
            assert changes == 2

    async def test_streams_are_read_to_the_end_page_by_page(self, new_store: NewStore) -> None:
        async with new_store() as store:
            await _fill(store)
            for limit in range(1, 10):
                after = {"a-1": 0, "a-2": 0, "a-3": 0}
                positions: list[int] = []
                while True:
                    read = await store.stream_pages(after, limit)
                    for event in read:
                        assert event.version == after[event.stream] + 1
                        after[event.stream] = event.version
                        positions.append(event.position)
                    if len(read) < limit:
                        break
                assert sorted(positions) == list(range(1, 9))

    async def test_thousands_of_streams_are_read_at_once(self, new_store: NewStore) -> None:
        async with new_store() as store:
            await store.append([entry(f"a-{number}", 0, f"c{number}") for number in range(3_000)], NOON)
            read = await store.stream_pages({f"a-{number}": 0 for number in range(3_000)}, 5_000)
            assert {event.stream for event in read} == {f"a-{number}" for number in range(3_000)}
            assert len(read) == 3_000

    async def test_no_streams_have_no_events(self, new_store: NewStore) -> None:
        async with new_store() as store:
            await _fill(store)
            assert list(await store.stream_pages({}, 9)) == []
            assert list(await store.stream_pages({"a-1\0": 0, "a-1\ud800": 0, "A-1": 0, "a-": 0}, 9)) == []

    async def test_histories_are_the_events_of_the_streams_without_their_places(self, new_store: NewStore) -> None:
        async with new_store() as store:
            await _fill(store)
            for limit in range(1, 10):
                after = {"a-3": 0, "none": 0, "a-1": 1, "nul\0": 0, "a-2": 2}
                while read := await store.histories(after, limit):
                    page = await store.stream_pages(after, limit)
                    events = [(one.stream, *event) for one in read for event in one.events]
                    assert events == [(event.stream, event.name, event.payload) for event in page]
                    assert {one.stream: one.version for one in read} == {event.stream: event.version for event in page}
                    assert all(one.events for one in read)
                    after |= {one.stream: one.version for one in read}
                assert after == {"a-3": 2, "none": 0, "a-1": 3, "nul\0": 0, "a-2": 3}
                for stream in after:
                    whole = [event for one in await store.histories({stream: 0}, 9) for event in one.events]
                    page = await store.stream_pages({stream: 0}, 9)
                    assert whole == [(event.name, event.payload) for event in page]
            assert list(await store.histories({"a-1\ud800": 0}, 9)) == list(await store.histories({}, 9)) == []

    async def test_commands_are_found_with_all_their_events(self, new_store: NewStore) -> None:
        async with new_store() as store:
            await _fill(store)
            events = await store.page(0, 9)
            assert dict(await store.find_commands(["c1", "c2", "none", "c5", "c1"])) == {
                "c1": AlreadyRecorded(tuple(events[0:2])),
                "c2": AlreadyRecorded(tuple(events[2:3])),
                "c5": AlreadyRecorded(tuple(events[6:8])),
            }

    async def test_a_command_is_found_by_its_whole_id_only(self, new_store: NewStore) -> None:
        async with new_store() as store:
            await _fill(store)
            assert dict(await store.find_commands(["c", "C1", "c1\0", "c1 ", "c1\ud800", "%", ""])) == {}
            assert dict(await store.find_commands([])) == {}


async def _fill(store: EventStore) -> None:
    """Eight events: a-1 at 1, 2 and 6; a-2 at 3, 7 and 8; a-3 at 4 and 5."""
    await store.append([entry("a-1", 0, "c1", 2), entry("a-2", 0, "c2")], NOON)
    await store.append([entry("a-3", 0, "c3", 2), entry("a-1", 2, "c4")], NOON)
    await store.append([entry("a-2", 1, "c5", 2)], NOON)
