"""Faults: what may go wrong in a simulated history, and how often."""

from random import Random
from typing import Any

import msgspec

from bus.core.limits import Limits


class Faults(msgspec.Struct, frozen=True, kw_only=True):
    """Rates between 0 and 1, each by occasion, and counts for a whole history, for each of its buses.

    Each history leaves out some kinds of faults, drawn from its seed: what hides behind a frequent fault is found where
    that one is missing. `Faults.none()` leaves out all.
    """

    crashes_max: int = 3
    """Ends of the process at any step, with nothing but what was committed left."""
    closings_max: int = 1
    """Orderly ends of the bus while senders are at work."""
    views_rolled_back: float = 0.3
    """At a crash the view store loses its last commits, whole, as a file does that is not forced to the disk."""

    append_refused: float = 0.04
    """An append fails for certain."""
    append_lost: float = 0.04
    """An append fails, nobody knows how, and has not happened."""
    append_late: float = 0.04
    """The same, and it happens some time later. Only where a store is shared, as a server is."""
    answer_lost: float = 0.04
    """An append has happened, and its sender is told that it failed."""
    hang: float = 0.02
    """A store takes longer than anybody wants to wait."""
    slow: float = 0.3
    """A store takes a while."""
    read_fails: float = 0.03
    """A read of the event store fails."""

    shared: float = 0.5
    """A history's event store is one to which others write as well."""
    appends_together: float = 0.5
    """A history's event store takes two appends at a time, which may be committed and answered in either order."""
    foreign_append: float = 0.08
    """Another writer appends to one of the same streams in between. Only where the store is shared."""

    view_commit_refused: float = 0.03
    view_commit_lost: float = 0.03
    view_answer_lost: float = 0.03
    view_read_fails: float = 0.02
    projection_raises: float = 0.02
    """A projection raises at an event once or twice, and then no more."""

    pauses_max: int = 3
    """A process stands still for a moment, or for longer than its leases last. Like the next two, only where several
    buses share the stores."""
    lease_lapses: float = 0.1
    """Who asks for a lease finds it lapsed, although its holder is alive: the view store's clock has leapt."""
    view_commit_late: float = 0.05
    """A commit of views fails, nobody knows how, and happens some time later."""

    duplicate: float = 0.15
    """A command is sent again under its id, by whomever and whenever."""
    reused: float = 0.02
    """Another command is sent under an id that was used."""
    cancelled: float = 0.08
    """A sender is cancelled while it waits."""
    hurried: float = 0.06
    """A command has little time."""
    expecting: float = 0.08
    """A command names a version, the right one or not."""
    tight_limits: float = 0.6
    """A history's limits are so low that they matter: aggregates are passivated at once, batches are split."""

    projection_poisons: float = 0.05
    """An event is poison to one key of a projection that parks, for some attempts or for many."""

    rebuilds: float = 0.0
    """A history in which somebody has projections rebuilt, switched and dropped now and then."""

    @classmethod
    def none(cls) -> "Faults":
        """A world in which everything works, with the default limits."""
        return cls(**dict.fromkeys(cls.__struct_fields__, 0))

    def drawn(self, chance: Random, *, share: float = 0.7) -> "Faults":
        """These, with each kind left in by that share of chance; without those of shared stores."""
        kept: dict[str, Any] = dict.fromkeys(SHARING, 0)
        for name in self.__struct_fields__:
            if name not in (*SHARING, *KEPT):
                kept[name] = getattr(self, name) if chance.random() < share else 0
        return Faults(**kept, **{name: getattr(self, name) for name in KEPT})

    def drawn_sharing(self, drawn: "Faults", chance: Random, *, share: float = 0.8) -> "Faults":
        """Those drawn already, and of the kinds for shared stores as many as chance leaves in."""
        kept: dict[str, Any] = {name: getattr(self, name) if chance.random() < share else 0 for name in SHARING}
        return msgspec.structs.replace(drawn, **kept)


SHARING = ("pauses_max", "lease_lapses", "view_commit_late")
"""Drawn apart, so that a seed's history of one bus stays what it is."""
KEPT = ("appends_together", "projection_poisons", "rebuilds")
"""Never left out: they are no faults, which others could hide, or come to no more than a share of histories."""


def tight_limits(chance: Random, given: Limits | None = None) -> Limits:
    """Limits that matter in a short history; each is drawn, some are what they were."""
    few: dict[str, list[Any]] = {
        "batch_commands_max": [1, 2, 5],
        "batch_bytes_max": [1, 100],
        "residents_max": [1, 2, 5],
        "idle_timeout_s": [0.05, 0.5],
        "recover_events_max": [1, 3],
        "recover_streams_max": [1, 2],
        "mailbox_commands_max": [1, 3],
        "bus_commands_max": [3, 6],
        "send_many_commands_max": [1, 2],
        "append_attempts_max": [1, 2, 4],
        "conflict_attempts_max": [2, 4],
        "send_timeout_s": [0.05, 0.5],
        "feed_events_max": [1, 4],
        "page_events_max": [1, 3],
        "projection_events_max": [1, 3],
        "cached_views_max": [1, 2],
        "poll_interval_s": [0.01],
    }
    drawn: dict[str, Any] = {name: chance.choice(values) for name, values in few.items() if chance.random() < 0.4}
    return msgspec.structs.replace(given or Limits(), **drawn)


def short_leases(chance: Random, given: Limits) -> Limits:
    """The same limits, with leases that lapse while a process stands still or a commit is under way."""
    return msgspec.structs.replace(given, lease_s=chance.choice([0.2, 1.0, 4.0]))


def short_grace(chance: Random, given: Limits) -> Limits:
    """The same limits, with builds that are dropped soon after they were replaced."""
    return msgspec.structs.replace(
        given, replaced_grace_s=chance.choice([0.1, 2.5, 5.0]), switch_pause_s=chance.choice([0.01, 1.0])
    )
