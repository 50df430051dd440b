"""The laws of snapshots in an event store: the latest of a stream, asked for by its format, read with what follows."""

import msgspec

from bus.core.stored import History, NewEvent, Snapshot
from bus.ports import EventStore
from tests.contracts.entries import NOON, entry
from tests.contracts.event_store import NewStore


def snapshot(stream: str, version: int, form: str = "1:a", payload: bytes = b"\0\xff state") -> Snapshot:
    return Snapshot(stream, version, form, payload)


class SnapshotLaws:
    """Needs a fixture `new_store`."""

    async def test_a_stream_begins_after_its_snapshot(self, new_store: NewStore) -> None:
        async with new_store() as store:
            await _fill(store)
            kept = snapshot("a-1", 2)
            await store.save_snapshots([kept])
            assert list(await store.histories({"a-1": 0}, 9, {"a-1": "1:a"})) == [
                History("a-1", 5, _events(3, 4, 5), kept)
            ]
            assert list(await store.histories({"a-1": 0}, 9)) == [History("a-1", 5, _events(1, 2, 3, 4, 5))]

    async def test_a_snapshot_comes_without_events_where_none_follow(self, new_store: NewStore) -> None:
        async with new_store() as store:
            await _fill(store)
            kept = snapshot("a-1", 5)
            await store.save_snapshots([kept])
            assert list(await store.histories({"a-1": 0}, 9, {"a-1": "1:a"})) == [History("a-1", 5, (), kept)]

    async def test_a_snapshot_of_another_format_or_of_no_later_version_is_none(self, new_store: NewStore) -> None:
        async with new_store() as store:
            await _fill(store)
            await store.save_snapshots([snapshot("a-1", 2)])
            for form in ("1:b", "2:a", "1:A", "", "1:a "):
                assert list(await store.histories({"a-1": 0}, 9, {"a-1": form})) == [
                    History("a-1", 5, _events(1, 2, 3, 4, 5))
                ]
            for after in (2, 3):
                (history,) = await store.histories({"a-1": after}, 9, {"a-1": "1:a"})
                assert (history.snapshot, len(history.events)) == (None, 5 - after)

    async def test_the_latest_is_kept_and_another_format_replaces_it(self, new_store: NewStore) -> None:
        async with new_store() as store:
            await _fill(store)

            async def begins_at(form: str) -> tuple[int, bytes] | None:
                (history,) = await store.histories({"a-1": 0}, 9, {"a-1": form})
                return None if history.snapshot is None else (history.snapshot.version, history.snapshot.payload)

            await store.save_snapshots([snapshot("a-1", 3)])
            await store.save_snapshots([snapshot("a-1", 2, payload=b"late")])
            assert await begins_at("1:a") == (3, b"\0\xff state")
            await store.save_snapshots([snapshot("a-1", 3, payload=b"again")])
            assert await begins_at("1:a") == (3, b"again")
            await store.save_snapshots([snapshot("a-1", 4), snapshot("a-2", 1)])
            assert await begins_at("1:a") == (4, b"\0\xff state")
            await store.save_snapshots([snapshot("a-1", 2, "2:a")])
            assert (await begins_at("1:a"), await begins_at("2:a")) == (None, (2, b"\0\xff state"))

    async def test_streams_with_and_without_are_read_together_page_by_page(self, new_store: NewStore) -> None:
        async with new_store() as store:
            await _fill(store)
            await store.save_snapshots([snapshot("a-1", 2), snapshot("a-3", 3), snapshot("a-4", 1, "other")])
            for limit in range(1, 12):
                after = {"a-4": 0, "a-3": 0, "none": 0, "a-1": 0, "a-2": 0}
                formats = dict.fromkeys(["a-1", "a-3", "a-4", "none"], "1:a")
                events: dict[str, list[tuple[str, bytes]]] = {}
                found: dict[str, Snapshot] = {}
                while page := await store.histories(after, limit, formats):
                    if formats:
                        assert {one.stream for one in page if one.snapshot} == {"a-1", "a-3"}
                    for one in page:
                        begin = after[one.stream] if one.snapshot is None else one.snapshot.version
                        assert one.version == begin + len(one.events)
                        assert one.events or one.snapshot
                        if one.snapshot is not None:
                            found[one.stream] = one.snapshot
                        events.setdefault(one.stream, []).extend(one.events)
                        after[one.stream] = one.version
                    formats = {}
                assert found == {"a-1": snapshot("a-1", 2), "a-3": snapshot("a-3", 3)}
                assert {stream: tuple(several) for stream, several in events.items()} == {
                    "a-1": _events(3, 4, 5),
                    "a-2": _events(1),
                    "a-3": (),
                    "a-4": _events(1, 2),
                }

    async def test_a_stream_without_events_has_no_snapshot(self, new_store: NewStore) -> None:
        async with new_store() as store:
            await _fill(store)
            names = ("none", "nul\0", "surrogate\ud800", "")
            await store.save_snapshots([snapshot(name, 1) for name in names])
            await store.save_snapshots([])
            assert list(await store.histories(dict.fromkeys(names, 0), 9, dict.fromkeys(names, "1:a"))) == []

    async def test_snapshots_survive_closing_and_change_nothing_else(self, new_store: NewStore) -> None:
        store = new_store()
        large = snapshot("a-1", 5, "1:ä'\"", b"x" * 1_000_000)
        async with store:
            await _fill(store)
            before = list(await store.page(0, 99))
            await store.save_snapshots([large])
        async with store:
            assert list(await store.histories({"a-1": 0}, 9, {"a-1": large.format})) == [History("a-1", 5, (), large)]
            assert list(await store.page(0, 99)) == before
            appended = await store.append([entry("a-1", 5, "c9"), entry("a-1", 6, "c1")], NOON)
            assert list(appended.refused) == [1]


async def _fill(store: EventStore) -> None:
    """Streams a-1 to a-4 with 5, 1, 3 and 2 events."""
    batch = [
        entry(stream, 0, f"c{number}", [NewEvent(*event) for event in _events(*range(1, count + 1))])
        for number, (stream, count) in enumerate({"a-1": 5, "a-2": 1, "a-3": 3, "a-4": 2}.items())
    ]
    appended = await store.append(batch, NOON)
    assert not appended.refused


def _events(*versions: int) -> tuple[tuple[str, bytes], ...]:
    return tuple([(f"event-{version}", msgspec.json.encode(version)) for version in versions])
