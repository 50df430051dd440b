"""Snapshots: a policy of the decider; what cannot be kept, or read back as it was, is refused."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest

from bus import Command, Decider, DefinitionError, Event, Snapshots, State
from bus.core.snapshots import SnapshotCodec, snapshot_codec


class Add(Command):
    to: str


class Added(Event, tag="added"): ...


class Sum(State):
    total: int = 0


class Total(State):
    total: int = 0


class SumAndCount(State):
    total: int = 0
    count: int = 0


class Loose(State):
    anything: Any = None


class Odd(State):
    thing: object = object


def decide(command: Add, state: Sum | Total) -> Sequence[Added]: ...
def evolve(state: Sum | Total, event: Added) -> Sum | Total: ...
def decide_sum(command: Add, state: Sum) -> Sequence[Added]: ...
def evolve_sum(state: Sum, event: Added) -> Sum: ...


def codec(policy: Snapshots, kind: type[State]) -> SnapshotCodec:
    return snapshot_codec(policy, (kind,), "decider")


def test_a_decider_takes_no_snapshots_unless_it_says_so() -> None:
    def decider(snapshots: Snapshots | None = None) -> Decider[Any, Any, Any]:
        return Decider(
            category="sum",
            initial=Sum(),
            identify=lambda command: command.to,
            decide=decide_sum,
            evolve=evolve_sum,
            snapshots=snapshots,
        )

    assert decider().snapshot_codec is None
    kept = decider(Snapshots(version=1, every_events=10)).snapshot_codec
    assert kept is not None
    assert kept.decode(kept.encode(Sum(5))) == Sum(5)
    with pytest.raises(DefinitionError, match="must be Snapshots"):
        decider(10)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: Snapshots(version=0, every_events=1), r"Snapshots\(version=...\) must be 1 or more, not 0"),
        (lambda: Snapshots(version=1, every_events=0), r"Snapshots\(every_events=...\) must be 1 or more, not 0"),
        (lambda: Snapshots(version=True, every_events=1), "not True"),
        (lambda: Snapshots(version=1, every_events=1.5), "not 1.5"),  # type: ignore[arg-type]
        (
            lambda: Decider(
                category="sum",
                initial=Sum(),
                identify=lambda command: command.to,
                decide=decide,
                evolve=evolve,  # type: ignore[arg-type]
                snapshots=Snapshots(version=1, every_events=1),
            ),
            "snapshots need one type of state, not 2",
        ),
        (lambda: codec(Snapshots(version=1, every_events=1), Odd), "state Odd cannot be encoded"),
    ],
)
def test_what_cannot_work_is_refused_when_it_is_built(make: Callable[[], object], why: str) -> None:
    with pytest.raises(DefinitionError, match=why):
        make()


def test_a_format_is_another_after_a_change_of_version_or_shape_and_not_after_one_of_names() -> None:
    first = codec(Snapshots(version=1, every_events=1), Sum).format
    assert codec(Snapshots(version=1, every_events=99), Total).format == first
    assert codec(Snapshots(version=2, every_events=1), Sum).format != first
    assert codec(Snapshots(version=1, every_events=1), SumAndCount).format != first


@pytest.mark.parametrize("anything", [(1, 2), {1: 2}, float("nan"), Sum(1)])
def test_a_state_that_would_be_read_back_differently_is_not_written(anything: object) -> None:
    with pytest.raises(ValueError, match="read back from its snapshot differently"):
        codec(Snapshots(version=1, every_events=1), Loose).encode(Loose(anything))


def test_a_state_of_another_type_is_not_written_and_another_payload_not_read() -> None:
    one = codec(Snapshots(version=1, every_events=1), Sum)
    with pytest.raises(ValueError, match="differently"):
        one.encode(Total(1))
    with pytest.raises(msgspec.ValidationError):
        one.decode(b'{"total":"5"}')
