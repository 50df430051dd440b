"""Requests are taken once, worked off in the order asked, and answered in words."""

from datetime import UTC, datetime

import msgspec
import pytest

from bus.core.errors import StoreUnavailable
from bus.core.letters import Request
from bus.core.stored import Checkpoint, ViewTable
from bus.memory import MemoryViewStore
from bus.read.parking import Parking
from bus.read.replaying import Replayed
from bus.read.requests import GONE, Requests
from bus.runtime.clock import LoopClock
from tests.contracts.letters import request

TABLE = ViewTable("plain", 1)


class Told:
    """Stands for replaying: what each step says, by key."""

    def __init__(self, **steps: list[Replayed]) -> None:
        self.steps = steps
        self.asked: list[str] = []

    async def retry(self, key: str, checkpoint: Checkpoint, epoch: int) -> Replayed:
        self.asked.append(key)
        return self.steps[key].pop(0)

    async def discard(self, key: str, position: int, checkpoint: Checkpoint, epoch: int) -> bool:
        self.asked.append(f"{key} {position}")
        return position == 1 and self.asked.count("k 1") == 1


def retry(number: int, key: str | None = None) -> Request:
    return msgspec.structs.replace(request(number), action="retry", key=key, position=None)


async def work_off(told: Told, *asked: Request) -> list[Request]:
    """The answers, in order."""
    answers: list[Request] = []
    parking = Parking(TABLE)
    parking.begin({"a": 3, "b": 1})
    async with MemoryViewStore() as store:
        requests = Requests(told, parking, view_store=store, clock=LoopClock())
        requests.on_answer = answers.append
        for one in asked:
            await store.ask(one)
            assert requests.add(one)
            assert not requests.add(one)
        while requests.are_waiting:
            await requests.step(Checkpoint(), 0)
        assert list(await store.requests(is_open=False, limit=99)) == answers
        assert list(await store.requests(is_open=True, limit=99)) == []
    assert all(one.answered_at is not None and one.answered_at > datetime(2013, 1, 1, tzinfo=UTC) for one in answers)
    return answers


def step(events: int, left: int, error: str | None = None) -> Replayed:
    return Replayed(events, left, error, frozenset())


async def test_a_key_is_retried_in_steps_until_nothing_is_left() -> None:
    told = Told(a=[step(2, 1), step(1, 0)])
    (answer,) = await work_off(told, retry(1, "a"))
    assert told.asked == ["a", "a"]
    assert (answer.is_done, answer.answer) == (True, "3 events are in the views now")


async def test_a_key_that_fails_again_does_not_keep_the_others_from_their_turn() -> None:
    told = Told(a=[step(1, 1)], b=[step(0, 1, "a bug")])
    told.steps["a"].append(step(1, 2, "another bug"))
    (answer,) = await work_off(told, retry(1))
    assert sorted(told.asked) == ["a", "a", "b"]
    assert not answer.is_done
    assert answer.answer == "2 events are in the views now; key 'b' failed again, and 1 more keys: a bug"


async def test_requests_are_worked_off_in_the_order_asked() -> None:
    told = Told(a=[step(3, 0)])
    discards = [msgspec.structs.replace(request(number), position=number) for number in (1, 2)]
    answers = await work_off(told, discards[0], retry(3, "a"), discards[1], retry(4, "none"))
    assert told.asked == ["k 1", "a", "k 2"]
    assert [(one.is_done, one.answer) for one in answers] == [
        (True, "discarded"),
        (True, "3 events are in the views now"),
        (False, GONE),
        (True, "key 'none' is not parked"),
    ]


async def test_a_letter_whose_discarding_could_not_be_answered_at_first_was_discarded() -> None:
    class Failing(MemoryViewStore):
        fails = True

        async def answer(self, request: Request) -> None:
            if self.fails:
                self.fails = False
                raise StoreUnavailable("it fails once", store=self.url)
            await super().answer(request)

    parking = Parking(TABLE)
    parking.begin({"k": 1})
    async with Failing() as store:
        requests = Requests(Told(), parking, view_store=store, clock=LoopClock())
        for number in (1, 2):
            await store.ask(request(number))
            requests.add(request(number))
        with pytest.raises(StoreUnavailable):
            await requests.step(Checkpoint(), 0)
        while requests.are_waiting:
            await requests.step(Checkpoint(), 0)
        answers = [one.answer for one in await store.requests(is_open=False, limit=9)]
    assert answers == ["discarded", GONE]


async def test_what_is_left_to_another_process_is_forgotten_here() -> None:
    requests = Requests(Told(), Parking(TABLE), view_store=MemoryViewStore(), clock=LoopClock())
    requests.add(retry(1))
    requests.clear()
    assert not requests.are_waiting
    assert requests.add(retry(1))
