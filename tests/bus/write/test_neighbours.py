"""Neighbours are seen by the positions that others were given, and are gone when they are given no more."""

from bus import Bus, Limits, MemoryEventStore
from bus.write.neighbours import Neighbours
from tests.support.ledger import LEDGER, Deposit


def after(neighbours: Neighbours, end: int, *, own: int, others: int, batches: int = 40) -> int:
    """Where the store ends after so many batches of this process, with others' events before each."""
    for _ in range(batches):
        end += others + own
        neighbours.note(end, own)
    return end


def test_who_writes_alone_has_no_neighbours() -> None:
    neighbours = Neighbours()
    after(neighbours, 1_000_000, own=32, others=0)
    assert not neighbours.are_writing


def test_neighbours_are_seen_and_are_gone_when_they_write_no_more() -> None:
    neighbours = Neighbours()
    end = after(neighbours, 0, own=32, others=32)
    assert neighbours.are_writing
    after(neighbours, end, own=32, others=0)
    assert not neighbours.are_writing


def test_a_few_events_of_others_are_no_neighbours() -> None:
    neighbours = Neighbours()
    after(neighbours, 0, own=32, others=2)
    assert not neighbours.are_writing


def test_batches_that_are_answered_in_another_order_are_ones_own() -> None:
    neighbours = Neighbours()
    for end in range(64, 6_400, 64):
        neighbours.note(end, 32)
        neighbours.note(end - 32, 32)
        assert not neighbours.are_writing


def test_nothing_is_said_before_there_is_anything_to_compare() -> None:
    neighbours = Neighbours()
    assert [neighbours.note(1_000 + number, 1) for number in range(8)] == [False] * 7 + [True]
    assert not neighbours.are_writing


async def test_two_buses_that_write_to_one_store_take_one_turn_each_at_a_time() -> None:
    class Wide(MemoryEventStore):
        """Takes two appends at once."""

        appends_at_once = 2

    store = Wide(shared=True)
    limits = Limits(turn_actors_min=1, batch_commands_max=2)
    async with (
        Bus(LEDGER, event_store=store, limits=limits) as one,
        Bus(LEDGER, event_store=store, limits=limits) as other,
    ):
        for number in range(60):
            await one.send(Deposit("a", number))
            await other.send(Deposit("b", number))
        assert [bus._opened().write.dispatcher.is_alone for bus in (one, other)] == [True, True]
        for number in range(60):
            await one.send(Deposit("a", number))
        assert not one._opened().write.dispatcher.is_alone
