"""Directory: the live actors by stream, least recently used first, and their passivation."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from bus.core.decider import Decider
from bus.core.limits import Limits
from bus.core.messages import State

if TYPE_CHECKING:
    from bus.write.envelope import Envelope


class Actor:
    """An aggregate in memory: a mailbox and a frozen state."""

    __slots__ = ("busy", "crashes", "decider", "last_used", "mail", "snapshot_version", "state", "stream", "version")

    def __init__(self, stream: str, decider: Decider[Any, Any, Any]) -> None:
        self.stream = stream
        self.decider = decider
        self.mail: list[Envelope] | None = None
        """Commands not yet decided; None while there are none. With mail, it is ready, in a turn or being recovered."""
        self.state: State | None = None
        """The state as recorded, at `version`; None while the actor is cold and must be recovered first."""
        self.version = 0
        self.snapshot_version = 0
        """The version of its last snapshot, as far as there is or was to be one."""
        self.busy = False
        """Whether a turn or a recovery holds it, so that it must stay in the directory."""
        self.crashes = 0
        """Failures of the user's code in a row; they slow down its recovery."""
        self.last_used = 0.0


class Directory:
    """All actors of the bus. An aggregate has at most one actor at any time: that makes it a single writer."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.actors: OrderedDict[str, Actor] = OrderedDict()
        self.passivated = 0

    def actor(self, stream: str, decider: Decider[Any, Any, Any]) -> Actor:
        """The actor of a stream, made when it has none."""
        actor = self.actors.get(stream)
        if actor is None:
            actor = self.actors[stream] = Actor(stream, decider)
        return actor

    def discard(self, actor: Actor) -> None:
        """Forgets an actor made for a command that was refused before it reached the mailbox."""
        if actor.state is None and _is_idle(actor):
            del self.actors[actor.stream]

    def touch(self, actor: Actor, now: float) -> None:
        """Notes that an actor was used."""
        actor.last_used = now
        self.actors.move_to_end(actor.stream)

    def trim(self) -> None:
        """Passivates the least recently used actors beyond the cap; those with work to do stay."""
        surplus = len(self.actors) - self._limits.residents_max
        if surplus <= 0:
            return
        victims: list[Actor] = []
        for actor in self.actors.values():
            if _is_idle(actor):
                victims.append(actor)
                if len(victims) == surplus:
                    break
        self._passivate(victims)

    def passivate_idle(self, now: float) -> float:
        """Passivates whoever was idle for too long; returns when to look again."""
        idle_timeout_s = self._limits.idle_timeout_s
        victims: list[Actor] = []
        again = now + idle_timeout_s
        for actor in self.actors.values():
            if actor.last_used + idle_timeout_s > now:
                again = actor.last_used + idle_timeout_s
                break
            if _is_idle(actor):
                victims.append(actor)
        self._passivate(victims)
        return again

    def _passivate(self, victims: list[Actor]) -> None:
        for actor in victims:
            del self.actors[actor.stream]
        self.passivated += len(victims)


def _is_idle(actor: Actor) -> bool:
    return actor.mail is None and not actor.busy
