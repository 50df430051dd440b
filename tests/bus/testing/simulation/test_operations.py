"""Operations: each answer that cannot be true is told, and those that can are not."""

import pytest

from bus import (
    BusClosed,
    BusError,
    Command,
    CommandFailed,
    CommandIdReused,
    ConflictExhausted,
    DeadlineExceeded,
    OutcomeUnknown,
    Receipt,
    Unreadable,
    VersionConflict,
)
from bus.core.stored import StoredEvent
from bus.testing.simulation.model import Model, Violated
from bus.testing.simulation.operations import Operation, Operations
from bus.testing.simulation.world import EPOCH
from tests.simulation.shop import SHOP, Check, NotForSale, Sell, Sold, SoldOut, Stock, Stocked

THREE = Stocked(3)


class Desk:
    """Item a was stocked at position 1 by c1, and sold at position 2 by c2; b was stocked at position 3 by c3."""

    def __init__(self) -> None:
        self.model = Model(SHOP)
        self.operations = Operations(self.model, conflict_attempts_max=2)
        self.count = 0

    def until(self, head: int) -> None:
        """The store comes to have that many events."""
        stored = [
            StoredEvent(1, "item-a", 1, "stocked", b'{"$type":"stocked","count":3}', EPOCH, "c1", b""),
            StoredEvent(2, "item-a", 2, "sold", b'{"$type":"sold","count":1,"left":2}', EPOCH, "c2", b""),
            StoredEvent(3, "item-b", 1, "stocked", b'{"$type":"stocked","count":3}', EPOCH, "c3", b""),
        ]
        self.model.record(stored[self.model.head : head])

    def call(self, command: Command, command_id: str, since: int, *, expected: int | None = None) -> Operation:
        """Called when the store ended there."""
        self.until(since)
        self.count += 1
        operation = Operation(self.count, command, command_id, True, expected, self.model.head, 99.0)
        self.operations.begin(operation)
        return operation

    def ask(
        self, command: Command, command_id: str, stretch: tuple[int, int], answer: Receipt | BusError, **options: int
    ) -> None:
        """Called at one end of a stretch of the store and answered at the other."""
        operation = self.call(command, command_id, stretch[0], **options)
        self.until(stretch[1])
        self.operations.answer(operation, answer)


def receipt(
    version: int, position: int, *events: Stocked | Sold, id: str = "c1", stream: str = "item-a", again: bool = False
) -> Receipt:
    return Receipt(id, stream, version, position, events, again)


def no(kind: type[BusError], **facts: object) -> BusError:
    return kind("no", **facts)


RIGHT = [
    (Stock("a", 3), "c1", (0, 1), receipt(1, 1, THREE)),
    (Stock("a", 3), "c1", (1, 3), receipt(1, 1, THREE, again=True)),
    (Check("a"), "c9", (1, 3), receipt(1, 2, id="c9")),
    (Check("a"), "c9", (1, 3), receipt(2, 3, id="c9")),
    (Sell("a", 3), "c9", (0, 1), SoldOut()),
    (Sell("a", 3), "c9", (1, 2), SoldOut()),
    (Sell("a", 3), "c9", (2, 2), SoldOut()),
    (Stock("a", 3), "c9", (0, 3), no(DeadlineExceeded)),
    (Stock("a", 3), "c9", (0, 3), no(OutcomeUnknown)),
    (Stock("a", 3), "c9", (0, 3), no(BusClosed)),
    (Stock("a", 3), "c9", (0, 1), no(ConflictExhausted)),
]

WRONG = [
    (Stock("a", 3), "c1", (0, 0), receipt(1, 1, THREE), "not in the store"),
    (Stock("a", 3), "c1", (1, 3), receipt(1, 1, THREE), "at another time"),
    (Stock("a", 3), "c1", (0, 1), receipt(2, 1, THREE), "but the store says"),
    (Stock("a", 3), "c1", (0, 1), receipt(1, 2, THREE), "but the store says"),
    (Stock("a", 3), "c1", (0, 1), receipt(1, 1, Stocked(4)), "but the store says"),
    (Stock("a", 3), "c9", (0, 1), receipt(1, 1, THREE), "is of another command"),
    (Stock("b", 3), "c1", (0, 1), receipt(1, 1, THREE), "is of another command"),
    (Check("a"), "c9", (2, 3), receipt(1, 1, id="c9"), "at no version that says so"),
    (Check("a"), "c9", (0, 1), receipt(2, 1, id="c9"), "ahead of the store"),
    (Check("a"), "c9", (0, 1), receipt(1, 9, id="c9"), "ahead of the store"),
    (Sell("a", 2), "c9", (2, 3), receipt(2, 2, id="c9"), "at no version that says so"),
    (Stock("a", 3), "c1", (1, 3), receipt(2, 3), "but is recorded"),
    (Sell("a", 2), "c9", (1, 3), SoldOut(), "on none of the states"),
    (Sell("a", 3), "c9", (2, 3), NotForSale(), "on none of the states"),
    (Sell("a", 1), "c2", (2, 3), SoldOut(), "but is recorded"),
    (Stock("a", 3), "c1", (0, 3), receipt(1, 1, THREE, again=True), "sent only once"),
    (Stock("a", 4), "c1", (1, 3), receipt(1, 1, THREE, again=True), "of another payload"),
    (Stock("a", 3), "c9", (1, 1), no(ConflictExhausted), "moved 0 times"),
    (Stock("a", 3), "c9", (0, 3), no(CommandIdReused), "another payload"),
    (Stock("a", 3), "c9", (0, 3), no(CommandFailed), "failed"),
    (Stock("a", 3), "c9", (0, 3), no(Unreadable), "was answered with"),
]


@pytest.mark.parametrize(("command", "command_id", "stretch", "answer"), RIGHT, ids=str)
def test_an_answer_that_can_be_true_is_taken(
    command: Command, command_id: str, stretch: tuple[int, int], answer: Receipt | BusError
) -> None:
    desk = Desk()
    desk.ask(command, command_id, stretch, answer)
    desk.operations.check_all()


@pytest.mark.parametrize(("command", "command_id", "stretch", "answer", "what"), WRONG, ids=str)
def test_an_answer_that_cannot_be_true_is_told(
    command: Command, command_id: str, stretch: tuple[int, int], answer: Receipt | BusError, what: str
) -> None:
    with pytest.raises(Violated, match=what):
        Desk().ask(command, command_id, stretch, answer)


def test_a_version_that_was_expected_must_have_been_there() -> None:
    Desk().ask(Sell("a", 1), "c2", (1, 2), receipt(2, 2, Sold(1, 2), id="c2"), expected=1)
    Desk().ask(Sell("a", 1), "c9", (1, 1), no(VersionConflict, actual=1, expected=5), expected=5)
    with pytest.raises(Violated, match="began at version 1, not at 0"):
        Desk().ask(Sell("a", 1), "c2", (1, 2), receipt(2, 2, Sold(1, 2), id="c2"), expected=0)
    for actual in (1, 3):
        with pytest.raises(Violated, match="at no such version"):
            Desk().ask(Sell("a", 1), "c9", (1, 1), no(VersionConflict, actual=actual, expected=1), expected=1)


def test_who_joins_a_command_in_flight_is_given_its_answer_however_old() -> None:
    desk = Desk()
    first = desk.call(Sell("a", 3), "c9", 0)
    desk.ask(Sell("a", 3), "c9", (1, 1), SoldOut())
    desk.operations.answer(first, SoldOut())
    alone = Desk()
    with pytest.raises(Violated):
        alone.ask(Sell("a", 3), "c9", (1, 1), SoldOut())


def test_nobody_joins_what_was_in_flight_before_a_crash() -> None:
    desk = Desk()
    desk.call(Sell("a", 3), "c9", 0)
    desk.operations.crash(0)
    with pytest.raises(Violated):
        desk.ask(Sell("a", 3), "c9", (1, 1), SoldOut())


def test_an_id_of_two_commands_may_be_refused() -> None:
    desk = Desk()
    desk.ask(Stock("a", 3), "c1", (0, 1), receipt(1, 1, THREE))
    desk.ask(Stock("a", 4), "c1", (1, 1), no(CommandIdReused))


def test_in_the_end_what_everybody_was_denied_is_not_there() -> None:
    desk = Desk()
    desk.ask(Stock("a", 3), "c1", (0, 0), no(DeadlineExceeded))
    desk.until(1)
    with pytest.raises(Violated, match="each sender was told that nothing is"):
        desk.operations.check_all()
    unsure = Desk()
    unsure.ask(Stock("a", 3), "c1", (0, 0), no(DeadlineExceeded))
    unsure.ask(Stock("a", 3), "c1", (0, 1), no(OutcomeUnknown))
    unsure.operations.check_all()


def test_in_the_end_one_sender_alone_was_the_first() -> None:
    desk = Desk()
    one, other = desk.call(Stock("a", 3), "c1", 0), desk.call(Stock("a", 3), "c1", 0)
    desk.until(1)
    for operation in (one, other):
        desk.operations.answer(operation, receipt(1, 1, THREE))
    with pytest.raises(Violated, match="theirs was the first"):
        desk.operations.check_all()
