"""The dispatcher: turns of all that have mail, one turn at a time or some beside each other."""

import random
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from bus.runtime.dispatcher import Dispatcher
from bus.runtime.reply import reply_factory


class Box:
    """An actor that is only a mailbox."""

    def __init__(self) -> None:
        self.mail: list[Any] | None = None
        self.busy = False

    def put(self, dispatcher: "Dispatcher[Box]", message: object) -> None:
        if self.mail is None:
            self.mail = [message]
            dispatcher.wake(self)
        else:
            self.mail.append(message)


async def test_all_that_are_ready_take_part_in_one_turn() -> None:
    turns: list[list[list[Any] | None]] = []

    async def turn(boxes: list[Box]) -> None:
        turns.append([box.mail for box in boxes])
        for box in boxes:
            box.mail = None
        await anyio.sleep(1)

    dispatcher = Dispatcher[Box](turn, reply_factory())
    boxes = [Box() for _ in range(3)]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(dispatcher.run)
        boxes[0].put(dispatcher, 1)
        boxes[1].put(dispatcher, 2)
        boxes[0].put(dispatcher, 3)
        await anyio.sleep(0.5)
        # What comes during a turn makes the next one.
        boxes[2].put(dispatcher, 4)
        boxes[0].put(dispatcher, 5)
        await anyio.sleep(5)
        boxes[1].put(dispatcher, 6)
        await anyio.sleep(5)
        tasks.cancel_scope.cancel()
    assert turns == [[[1, 3], [2]], [[4], [5]], [[6]]]
    assert dispatcher.turns == 3


async def test_turns_without_a_wait_leave_the_event_loop_to_others() -> None:
    async def turn(boxes: list[Box]) -> None:
        for box in boxes:
            dispatcher.wake(box)

    dispatcher = Dispatcher[Box](turn, reply_factory())
    async with anyio.create_task_group() as tasks:
        dispatcher.wake(Box())
        tasks.start_soon(dispatcher.run)
        for _ in range(10):
            await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()
    assert dispatcher.turns > 1


async def test_a_dispatcher_that_is_started_again_has_not_lost_who_was_ready() -> None:
    seen: list[Box] = []

    async def turn(boxes: list[Box]) -> None:
        seen.extend(boxes)

    dispatcher = Dispatcher[Box](turn, reply_factory())
    box = Box()
    for _ in range(2):
        with anyio.move_on_after(1):
            await dispatcher.run()
        dispatcher.wake(box)
    with anyio.move_on_after(1):
        await dispatcher.run()
    assert seen == [box, box]


class Turns:
    """Turns beside each other, each of which takes the mail of its boxes and then waits until it is ended."""

    def __init__(self, turns_max: int = 2, actors_min: int = 1) -> None:
        self.dispatcher = Dispatcher[Box](self.turn, reply_factory(), turns_max=turns_max, actors_min=actors_min)
        self.turns_max = turns_max
        self.under_way: list[tuple[list[Box], anyio.Event]] = []

    async def turn(self, boxes: list[Box]) -> None:
        ended = anyio.Event()
        for box in boxes:
            assert not box.busy, "another turn has it"
            assert box.mail is not None
            box.mail, box.busy = None, True
        self.under_way.append((boxes, ended))
        await ended.wait()
        for box in boxes:
            box.busy = False

    def put(self, *boxes: Box) -> None:
        for box in boxes:
            box.put(self.dispatcher, "mail")

    async def settle(self) -> list[list[Box]]:
        """The turns under way once nothing moves any more."""
        await anyio.wait_all_tasks_blocked()
        return [boxes for boxes, _ in self.under_way]

    async def end(self, place: int) -> list[list[Box]]:
        self.under_way.pop(place)[1].set()
        return await self.settle()

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        async with anyio.create_task_group() as tasks:
            for _ in range(self.turns_max):
                tasks.start_soon(self.dispatcher.run)
            yield
            tasks.cancel_scope.cancel()


async def test_those_ready_at_a_time_are_shared_out_among_the_turns() -> None:
    turns, boxes = Turns(), [Box() for _ in range(9)]
    async with turns.running():
        turns.put(*boxes)
        assert await turns.settle() == [boxes[:5], boxes[5:]]
        turns.put(*boxes)
        assert await turns.settle() == [boxes[:5], boxes[5:]], "no third turn, and nobody is in two"
        assert await turns.end(0) == [boxes[5:], boxes[:5]]
        assert await turns.end(0) == [boxes[:5], boxes[5:]]
    assert turns.dispatcher.turns == 4


async def test_a_turn_beside_another_takes_no_more_than_makes_both_of_a_size() -> None:
    turns, boxes = Turns(), [Box() for _ in range(10)]
    async with turns.running():
        turns.put(*boxes[:2])
        assert await turns.settle() == [boxes[:1], boxes[1:2]]
        turns.put(*boxes[2:])
        assert await turns.end(0) == [boxes[1:2], boxes[2:7]]
        assert await turns.end(0) == [boxes[2:7], boxes[7:]]


async def test_who_is_to_take_one_turn_at_a_time_does_so_until_told_otherwise() -> None:
    turns, boxes = Turns(), [Box() for _ in range(6)]
    turns.dispatcher.is_alone = True
    async with turns.running():
        turns.put(*boxes[:4])
        assert await turns.settle() == [boxes[:4]]
        turns.put(*boxes[4:])
        assert await turns.settle() == [boxes[:4]]
        assert await turns.end(0) == [boxes[4:]]
        turns.dispatcher.is_alone = False
        turns.put(*boxes[:4])
        assert await turns.settle() == [boxes[4:], boxes[:3]]


async def test_fewer_than_the_least_wait_for_the_end_of_the_other_turn_and_then_go_together() -> None:
    turns, boxes = Turns(actors_min=3), [Box() for _ in range(6)]
    async with turns.running():
        turns.put(boxes[0])
        assert await turns.settle() == [boxes[:1]]
        turns.put(*boxes[1:3])
        assert await turns.settle() == [boxes[:1]]
        turns.put(boxes[3])
        assert await turns.settle() == [boxes[:1], boxes[1:4]]
        turns.put(*boxes[4:])
        assert await turns.end(0) == [boxes[1:4]]
        assert await turns.end(0) == [boxes[4:]], "two are too few to be shared out"


async def test_who_gets_mail_while_a_turn_has_them_is_in_the_next_one_after_it() -> None:
    turns, boxes = Turns(), [Box() for _ in range(4)]
    async with turns.running():
        turns.put(*boxes[:2])
        await turns.settle()
        turns.put(*boxes)
        assert await turns.end(1) == [boxes[:1], boxes[1:3]]
        assert turns.dispatcher.held == boxes[:1]
        assert await turns.end(0) == [boxes[1:3], [boxes[0], boxes[3]]]


async def test_a_turn_beside_others_that_crashes_leaves_its_place_to_the_next() -> None:
    async def crash(boxes: list[Box]) -> None:
        raise ZeroDivisionError

    dispatcher = Dispatcher[Box](crash, reply_factory(), turns_max=2)
    for _ in range(3):
        dispatcher.wake(Box())
        with pytest.raises(ZeroDivisionError):
            await dispatcher.run()


@pytest.mark.parametrize("seed", range(20))
async def test_whatever_comes_and_ends_nobody_is_in_two_turns_or_forgotten(seed: int) -> None:
    chance = random.Random(seed)
    turns = Turns(turns_max=chance.choice([2, 3]), actors_min=chance.choice([1, 2, 5]))
    boxes = [Box() for _ in range(12)]
    async with turns.running():
        for _ in range(200):
            if chance.random() < 0.7:
                turns.put(*chance.sample(boxes, chance.randrange(1, 8)))
            if turns.under_way and chance.random() < 0.5:
                await turns.end(chance.randrange(len(turns.under_way)))
            if chance.random() < 0.3:
                await turns.settle()
            assert len(turns.under_way) <= turns.turns_max
        while await turns.settle():
            await turns.end(0)
    assert [box.mail for box in boxes] == [None] * 12
    assert (turns.dispatcher.ready, turns.dispatcher.held) == ([], [])
