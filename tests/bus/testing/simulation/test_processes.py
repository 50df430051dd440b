"""Processes: several at a time stand still, crash and are closed, each by itself, and agree in the end."""

from collections.abc import Mapping

import anyio.lowlevel
import pytest

from bus import Limits
from bus.read.leases import Leases
from bus.read.projector import Projector
from bus.read.setbacks import Setbacks
from bus.runtime.dispatcher import Dispatcher
from bus.testing import Faults
from bus.testing.simulation.processes import Processes
from bus.testing.simulation.world import World
from tests.simulation.planted_sharing import name_no_epoch
from tests.simulation.shop import SHOP, shopping


def world(seed: int, buses: float = 2, **rates: float) -> World:
    """One in which only that goes wrong."""
    made = World(SHOP, seed, faults=Faults.none(), limits=Limits(lease_s=1.0), invariants=(), buses=int(buses))
    made.faults = Faults(**{name: rates.get(name, 0) for name in Faults().__struct_fields__})  # type: ignore[arg-type]
    return made


def lived(of: World, commands: int = 60) -> World:
    Processes(of, shopping, commands).run()
    return of


def counted(worlds: int, **rates: float) -> Mapping[str, int]:
    """What happened in some histories, which all keep every promise."""
    happened: dict[str, int] = {}
    for seed in range(worlds):
        one = lived(world(seed, **rates))
        assert one.violation is None, one.violation
        for kind, count in one.history.counts.items():
            happened[kind] = happened.get(kind, 0) + count
    return happened


def test_where_nothing_goes_wrong_the_first_holds_every_lease_until_it_leaves() -> None:
    one = lived(world(1, 3))
    assert one.violation is None
    assert one.history.counts["open"] == 3
    before_the_end = one.history.lines[: [" calm " in line for line in one.history.lines].index(True)]
    granted = [line[16:].split()[1:] for line in before_the_end if " lease " in line]
    assert len({words[-1] for words in granted}) == 1
    shelves, till = [[f"'{name}'", "version", "1", "epoch", "1"] for name in ("shelves", "till")]
    assert [words[:5] for words in granted] == [shelves, till]
    senders = {line.split()[1] for line in one.history.lines if " send " in line}
    assert senders == {"A1", "B1", "C1"}


def test_a_process_that_crashes_is_followed_by_another_while_the_others_go_on() -> None:
    happened = counted(8, crashes_max=3)
    assert happened["CRASH"] > 5
    assert happened["open"] == 8 * 2 + happened["CRASH"]


def test_a_process_that_stands_still_for_long_loses_its_leases_and_finds_out() -> None:
    happened = counted(20, pauses_max=5, slow=0.3)
    assert happened["PAUSE"] == happened["RESUME"] > 10
    assert happened["lease"] > 20 * 2


def test_while_a_process_stands_still_nothing_of_it_is_told() -> None:
    standing: set[str] = set()
    pauses = 0
    for line in [line for seed in range(5) for line in lived(world(seed, pauses_max=5)).history.lines]:
        who, kind, name = line[11:14].strip(), *line[16:].split(" ")[:2]
        if kind == "PAUSE":
            standing.add(name)
            pauses += 1
        elif kind == "RESUME":
            standing.remove(name)
        assert who not in standing, line
    assert pauses > 5


def test_a_lease_that_lapses_early_changes_hands_and_a_late_commit_comes_too_late() -> None:
    happened = counted(12, lease_lapses=0.5, view_commit_late=0.3)
    assert happened["lease lapses"] > 12
    assert happened["views late"] > 12


def test_a_bus_that_is_closed_in_order_gives_up_its_leases() -> None:
    happened = counted(8, closings_max=2)
    assert happened["close"] > 3
    assert happened["lease given up"] > happened["close"]


def test_the_same_id_is_sent_to_more_than_one_bus() -> None:
    one = lived(world(2, duplicate=0.5, crashes_max=0), 200)
    assert one.violation is None
    buses: dict[str, set[str]] = {}
    for line in one.history.lines:
        if " send " in line and (command_id := line.split(")")[-1].split()[:1]):
            buses.setdefault(command_id[0], set()).add(line[11:14])
    assert sum(len(asked) > 1 for asked in buses.values()) > 5


def test_what_is_run_by_nobody_in_the_end_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Projector, "is_here", property(lambda self: False))
    one = lived(world(1))
    assert one.violation is not None
    assert "run by nobody" in one.violation


def test_a_process_that_ends_with_an_error_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(self: Leases) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Leases, "look", broken)
    one = lived(world(1))
    assert one.violation is not None
    assert "ZeroDivisionError" in one.violation


def test_senders_that_wait_for_ever_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Dispatcher, "wake", lambda self, actor: None)
    one = world(1)
    one.limits = Limits(send_timeout_s=1e9)
    assert lived(one).violation is not None
    assert "waits for ever" in str(one.violation)


def test_who_goes_round_in_circles_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(self: Setbacks) -> None:
        await anyio.lowlevel.checkpoint()

    name_no_epoch(monkeypatch)
    monkeypatch.setattr(Setbacks, "pause", never)
    one = lived(world(1), 5)
    assert one.violation is not None
    assert "in circles" in one.violation
