"""Load: an endless mix of new commands, hot and cold aggregates, and ids that are sent again."""

import random
from collections.abc import Iterator
from itertools import count

from tests.crashes.notes import Line, Notes

HOT_JARS = 4
COLD_JARS = 300
MARBLES_MAX = 6
TOO_MUCH = 10**9
"""So that a rejected command would be rejected at any time, and must never be found in the store."""


class Load:
    """Goes on over all lives of a worker; ids are never used for two commands."""

    def __init__(self, notes: Notes, chance: random.Random) -> None:
        self._notes = notes
        self._chance = chance
        self._numbers = count(1)
        self._recent: list[Line] = []

    def life(self) -> Iterator[Line]:
        """What one life is sent: all that the last one left open, then new commands among repeated ones."""
        yield from self._notes.open.copy().values()
        self._recent.clear()
        known = list(self._notes.lines.values())
        while True:
            die = self._chance.random()
            if die < 0.05 and known:
                yield self._chance.choice(known)
            elif die < 0.15 and self._recent:
                # The first is still in flight, most of the time.
                yield self._chance.choice(self._recent[-30:])
            else:
                line = self._new(die > 0.95)
                self._recent.append(line)
                yield line

    def _new(self, is_draw: bool) -> Line:
        chance = self._chance
        jar = f"hot-{chance.randrange(HOT_JARS)}" if chance.random() < 0.6 else f"cold-{chance.randrange(COLD_JARS)}"
        command_id = f"c-{next(self._numbers)}"
        if is_draw:
            return {"type": "draw", "jar": jar, "weight": chance.choice([0, TOO_MUCH]), "command_id": command_id}
        marbles = [chance.randrange(100) for _ in range(chance.choice([1, 1, 1, 2, MARBLES_MAX]))]
        return {"type": "fill", "jar": jar, "marbles": marbles, "command_id": command_id}
