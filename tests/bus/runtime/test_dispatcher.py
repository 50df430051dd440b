"""The dispatcher: turns of all that have mail, one turn at a time."""

from typing import Any

import anyio

from bus.runtime.dispatcher import Dispatcher
from bus.runtime.reply import reply_factory


class Box:
    """An actor that is only a mailbox."""

    def __init__(self) -> None:
        self.mail: list[Any] | None = None

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
