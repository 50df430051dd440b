"""Feed: a window on the end of the store that says nothing rather than something wrong."""

import random
from datetime import UTC, datetime

import anyio
import pytest

from bus import Event, Recorded
from bus.runtime.feed import Feed
from bus.runtime.reply import reply_factory
from bus.runtime.signal import Signal
from tests.support.ledger import NoteWritten

NOON = datetime(2013, 1, 1, 12, tzinfo=UTC)


def recorded(first: int, last: int) -> list[Recorded[Event]]:
    return [
        Recorded(
            event=NoteWritten(),
            stream="note-n",
            stream_id="n",
            version=position,
            position=position,
            recorded_at=NOON,
            command_id=f"c{position}",
            correlation_id=f"c{position}",
        )
        for position in range(first, last + 1)
    ]


def positions(feed: Feed, after: int, limit: int = 100) -> list[int] | None:
    found = feed.after(after, limit)
    return None if found is None else [one.position for one in found]


def test_events_are_given_from_the_one_that_follows_up_to_the_limit() -> None:
    feed = Feed(10)
    feed.publish(0, recorded(1, 3))
    feed.publish(3, recorded(4, 4))
    assert positions(feed, 0) == [1, 2, 3, 4]
    assert positions(feed, 2) == [3, 4]
    assert positions(feed, 1, limit=2) == [2, 3]
    assert positions(feed, 4) == []
    assert feed.head == 4


def test_who_stands_before_or_behind_the_window_is_given_nothing() -> None:
    feed = Feed(10)
    feed.publish(5, recorded(6, 8))
    assert positions(feed, 4) is None
    assert positions(feed, 9) is None
    assert positions(feed, 5) == [6, 7, 8]


def test_the_window_starts_anew_after_events_of_another_writer() -> None:
    feed = Feed(10)
    feed.publish(0, recorded(1, 2))
    feed.publish(4, recorded(5, 6))
    assert positions(feed, 0) is None
    assert positions(feed, 2) is None
    assert positions(feed, 4) == [5, 6]
    assert feed.head == 6


def test_a_batch_that_comes_late_goes_before_the_one_that_overtook_it() -> None:
    feed = Feed(10)
    feed.publish(0, recorded(1, 2))
    feed.publish(4, recorded(5, 6))
    feed.publish(2, recorded(3, 4))
    assert positions(feed, 2) == [3, 4, 5, 6]
    assert feed.head == 6
    feed.publish(6, recorded(7, 7))
    assert positions(feed, 2) == [3, 4, 5, 6, 7]


def test_a_batch_that_comes_so_late_that_it_meets_no_window_changes_nothing() -> None:
    feed = Feed(10)
    feed.publish(4, recorded(5, 6))
    feed.publish(1, recorded(2, 2))
    assert positions(feed, 1) is None
    assert positions(feed, 4) == [5, 6]
    assert feed.head == 6


@pytest.mark.parametrize("events_max", [1, 2, 3, 10])
def test_what_comes_late_keeps_the_window_bounded_and_without_a_gap(events_max: int) -> None:
    chance, feed, head = random.Random(events_max), Feed(events_max), 0
    late: list[tuple[int, int]] = []
    for _ in range(300):
        first, head = head, head + chance.randrange(1, 5)
        late.append((first, head))
        chance.shuffle(late)
        for before, last in [late.pop() for _ in range(chance.randrange(len(late) + 1))]:
            feed.publish(before, recorded(before + 1, last))
            for after in range(max(0, head - 15), head + 1):
                found = positions(feed, after)
                assert found is None or found == list(range(after + 1, after + 1 + len(found)))
        assert len(feed._events) <= events_max + events_max // 2


def test_the_head_never_goes_back() -> None:
    feed = Feed(10)
    feed.advance(7)
    feed.publish(2, recorded(3, 4))
    feed.advance(1)
    assert feed.head == 7


@pytest.mark.parametrize("events_max", [1, 2, 3, 10])
def test_the_window_is_bounded_and_whatever_it_gives_follows_without_a_gap(events_max: int) -> None:
    chance, feed, head = random.Random(events_max), Feed(events_max), 0
    for _ in range(300):
        if chance.random() < 0.1:
            head += chance.randrange(1, 4)
        count = chance.randrange(0, 6)
        feed.publish(head, recorded(head + 1, head + count))
        head += count
        for after in range(max(0, head - 15), head + 2):
            found = positions(feed, after)
            assert found is None or found == list(range(after + 1, head + 1))
        assert positions(feed, max(0, head - 1)) is not None or count == 0
        assert len(feed._events) <= events_max + events_max // 2


async def test_listeners_are_woken_by_news_of_either_kind() -> None:
    feed, signal = Feed(10), Signal(reply_factory())
    before = feed.has_listeners
    feed.listen(signal)
    assert (before, feed.has_listeners) == (False, True)
    feed.publish(0, recorded(1, 1))
    await signal.wait()
    feed.advance(2)
    await signal.wait()


async def test_what_is_known_already_wakes_nobody() -> None:
    feed, signal = Feed(10), Signal(reply_factory())
    feed.advance(5)
    feed.listen(signal)
    feed.learn(5)
    feed.learn(4)
    with anyio.move_on_after(0.01) as scope:
        await signal.wait()
    assert scope.cancelled_caught
    feed.learn(6)
    await signal.wait()
    assert feed.head == 6


async def test_who_listens_no_more_is_woken_no_more() -> None:
    feed, gone, stays = Feed(10), Signal(reply_factory()), Signal(reply_factory())
    feed.listen(gone)
    feed.listen(stays)
    feed.unlisten(gone)
    feed.advance(1)
    await stays.wait()
    with anyio.move_on_after(0.01) as scope:
        await gone.wait()
    assert scope.cancelled_caught
    feed.unlisten(stays)
    assert not feed.has_listeners
