"""Ids: UUIDv7 texts in growing order, made without a system call each."""

import os
import random
import time
from collections.abc import Callable


class Uuid7Ids:
    """RFC 9562 version 7: 48 bits of milliseconds, 12 of sequence, 62 random.

    The sequence starts at random in each millisecond and, when it is used up, borrows the next millisecond, so that
    ids of one process always grow.
    """

    def __init__(self, milliseconds: Callable[[], int] = lambda: time.time_ns() // 1_000_000) -> None:
        self._milliseconds = milliseconds
        self._random = random.Random(os.urandom(32)).getrandbits
        self._process = os.getpid()
        self._last = -1
        self._sequence = 0
        self._prefix = ""

    def new(self) -> str:
        now = self._milliseconds()
        if now > self._last:
            self._start(now)
        elif self._sequence == 0xFFF:
            self._start(self._last + 1)
        else:
            self._sequence += 1
        bits = self._random(62)
        return f"{self._prefix}{self._sequence:03x}-{0x8000 | bits >> 48:04x}-{bits & 0xFFFFFFFFFFFF:012x}"

    def _start(self, millisecond: int) -> None:
        if self._process != os.getpid():
            # A forked child would repeat its parent's random numbers.
            self._process = os.getpid()
            self._random = random.Random(os.urandom(32)).getrandbits
        self._last = millisecond
        self._sequence = self._random(11)
        text = f"{millisecond & 0xFFFFFFFFFFFF:012x}"
        self._prefix = f"{text[:8]}-{text[8:]}-7"
