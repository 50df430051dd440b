"""Ids: valid by RFC 9562, always growing, and different in a forked child."""

import os
import uuid

import pytest

from bus.runtime.ids import Uuid7Ids, owner_name


class Time:
    """Nanoseconds, as told."""

    def __init__(self, *milliseconds: int) -> None:
        self._milliseconds = list(milliseconds)

    def __call__(self) -> int:
        now = self._milliseconds.pop(0) if len(self._milliseconds) > 1 else self._milliseconds[0]
        return now * 1_000_000


def test_ids_are_valid() -> None:
    now = 1_357_041_600_123
    ids = Uuid7Ids(Time(now))
    for text in [ids.new() for _ in range(100)]:
        value = uuid.UUID(text)
        assert str(value) == text
        assert value.version == 7
        assert value.variant == uuid.RFC_4122
        assert value.int >> 80 == now


@pytest.mark.parametrize(
    "milliseconds",
    [(5,), (5, 4, 3, 2, 1), (5, 6, 5, 7, 5), (0,), (2**48 - 1_000,)],
    ids=["still", "back", "to and fro", "at its beginning", "near its end"],
)
def test_ids_grow_whatever_the_clock_does(milliseconds: tuple[int, ...]) -> None:
    ids = Uuid7Ids(Time(*milliseconds))
    made = [ids.new() for _ in range(50_000)]
    assert made == sorted(set(made))
    assert all(uuid.UUID(text).version == 7 for text in made[::97])


def test_two_makers_make_different_ids() -> None:
    one, other = Uuid7Ids(Time(5)), Uuid7Ids(Time(5))
    assert not {one.new() for _ in range(5_000)} & {other.new() for _ in range(5_000)}


def test_ids_of_one_millisecond_cannot_be_guessed_from_those_of_another() -> None:
    ids = Uuid7Ids(Time(1, 2, 3, 4))
    assert len({ids.new()[-12:] for _ in range(4)}) == 4


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_makes_other_ids_even_while_the_clock_stands_still() -> None:
    ids = Uuid7Ids(Time(5))
    first = ids.new()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, " ".join(ids.new() for _ in range(100)).encode())
        os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading) as pipe:
        theirs = pipe.read().split()
    ours = [ids.new() for _ in range(100)]
    assert len(theirs) == 100
    assert not {first, *ours} & set(theirs)
    assert min(theirs) > first


def test_no_two_openings_have_the_same_owner() -> None:
    names = {owner_name() for _ in range(100)}
    assert len(names) == 100
    assert {name.rsplit("/", 1)[0].rpartition("/")[2] for name in names} == {str(os.getpid())}
