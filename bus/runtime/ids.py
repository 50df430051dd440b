"""Ids: UUIDv7 texts in growing order, at the price of a text and without a system call each."""

import os
import platform
import random
import time
import weakref
from collections.abc import Callable

_SEQUENCE_MAX = 0xFFF


class Uuid7Ids:
    """RFC 9562 version 7: 48 bits of milliseconds, a sequence of 12, and 62 random bits drawn anew each millisecond.

    The sequence starts in each millisecond at a random place of its lower half; when it is used up, the next
    millisecond is borrowed. So the ids of one process always grow, also when the clock does not.
    """

    def __init__(self, nanoseconds: Callable[[], int] = time.time_ns) -> None:
        self._nanoseconds = nanoseconds
        self._sequences = [f"{sequence:03x}" for sequence in range(_SEQUENCE_MAX + 1)]
        self._millisecond = -1
        self._until = 0
        """In nanoseconds, the end of that millisecond."""
        self._sequence = 0
        self._head = ""
        self._tail = ""
        self.reseed()
        _ALL.add(self)

    def new(self) -> str:
        now = self._nanoseconds()
        if now < self._until:
            sequence = self._sequence = self._sequence + 1
            if sequence <= _SEQUENCE_MAX:
                return f"{self._head}{self._sequences[sequence]}{self._tail}"
        self._start(max(now // 1_000_000, self._millisecond + 1))
        return f"{self._head}{self._sequences[self._sequence]}{self._tail}"

    def reseed(self) -> None:
        """Draws from new chance, from the next id on: for a forked child, which would repeat its parent's."""
        self._random = random.Random(os.urandom(32)).getrandbits
        self._sequence = _SEQUENCE_MAX

    def _start(self, millisecond: int) -> None:
        self._millisecond = millisecond
        self._until = (millisecond + 1) * 1_000_000
        self._sequence = self._random(11)
        bits = self._random(62)
        time_text = f"{millisecond & 0xFFFFFFFFFFFF:012x}"
        self._head = f"{time_text[:8]}-{time_text[8:]}-7"
        self._tail = f"-{0x8000 | bits >> 48:04x}-{bits & 0xFFFFFFFFFFFF:012x}"


def owner_name() -> str:
    """Names one opening of a bus, for those who see who owns what: the machine, the process, and eight digits."""
    return f"{platform.node()}/{os.getpid()}/{os.urandom(4).hex()}"


_ALL: "weakref.WeakSet[Uuid7Ids]" = weakref.WeakSet()


def _reseed_all() -> None:
    for ids in _ALL:
        ids.reseed()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reseed_all)
