"""One event is folded as a projector would, and whatever is not pure about it is found."""

import itertools
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from bus import STOP, Limits, Projection, ProjectionStopped, Recorded, View
from bus.testing.projecting import projected
from tests.support.ledger import BALANCES, AccountEvent, Balance, Deposited, balances

PAID = Recorded[AccountEvent](
    event=Deposited(5),
    stream="account-a",
    stream_id="a",
    version=2,
    position=7,
    recorded_at=datetime(2000, 1, 1, tzinfo=UTC),
    command_id="c",
    correlation_id="c",
)
STORED = {"a": b'{"account":"a","balance":10,"positions":[3]}'}
COUNTER = itertools.count()


class Tally(View):
    by_amount: dict[str, Any]


def project_in_place(view: Tally | None, recorded: Recorded[Deposited], key: str) -> Tally:
    view = view or Tally({})
    view.by_amount["count"] = view.by_amount.get("count", 0) + 1
    return view


def project_by_chance(view: Tally | None, recorded: Recorded[Deposited], key: str) -> Tally:
    return Tally({"count": next(COUNTER)})


def project_unstorable(view: Tally | None, recorded: Recorded[Deposited], key: str) -> Tally:
    return Tally({"pair": (1, 2)})


def tally(project: Callable[..., Any], key: Callable[..., Any] = lambda recorded: "a") -> Projection[Tally, Deposited]:
    return Projection(name="tally", version=1, view=Tally, project=project, key=key, on_poison=STOP)


def test_an_event_is_folded_into_the_view_that_is_stored() -> None:
    folded = projected(BALANCES, PAID, STORED, Limits())
    assert folded.views == {"a": Balance("a", 15, [3, 7])}
    assert [(stored.key, stored.index_values) for stored in folded.put] == [("a", (15, "a"))]


@pytest.mark.parametrize("project", [project_in_place, project_by_chance])
def test_a_projection_that_is_not_pure_is_found(project: Callable[..., Any]) -> None:
    with pytest.raises(AssertionError, match="'tally' at Deposited: project is not pure, or changes") as failed:
        projected(tally(project), PAID, {"a": b'{"by_amount":{"count":5}}'}, Limits())
    assert "views['a'].by_amount['count']" in str(failed.value)


def test_a_key_that_is_not_pure_is_found() -> None:
    other = balances(key=lambda recorded: f"key{next(COUNTER)}")
    with pytest.raises(AssertionError, match="'balances' at Deposited: key is not pure") as failed:
        projected(other, PAID, {}, Limits())
    assert "keys[0][0]" in str(failed.value)


def nothing(view: Balance | None, recorded: Recorded[AccountEvent], key: str) -> Balance:
    return None  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("projection", "reason"),
    [
        (balances(nothing), "project returned None, which is neither a Balance nor REMOVED"),
        (balances(key=lambda recorded: ""), "key returned a key that is empty"),
        (balances(key=lambda recorded: ("a", "a")), "in which a key occurs twice"),
        (balances(key=lambda recorded: ("a", "b", "c", "d")), "more than Limits.event_keys_max"),
        (balances(key=lambda recorded: recorded.nothing), "AttributeError"),  # type: ignore[attr-defined]
        (tally(project_unstorable), "would be read back differently"),
    ],
)
def test_what_stops_the_projection_in_the_bus_stops_it_here(projection: Projection[Any, Any], reason: str) -> None:
    with pytest.raises(ProjectionStopped, match="stopped at position 7") as stopped:
        projected(projection, PAID, {}, Limits(event_keys_max=3))
    assert reason in stopped.value.reason
    assert "nothing after position 6 is in its views" in str(stopped.value)
    assert (stopped.value.position, stopped.value.projection) == (7, projection.name)
    assert stopped.value.__cause__ is not None
