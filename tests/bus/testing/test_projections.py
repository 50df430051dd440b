"""Given events in their places, then the views are those of the bus, or the test says why not."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from bus import STOP, Bus, Projection, ProjectionStopped, Recorded, Removed, View
from bus.testing import RECORDED_AT, given
from tests.support.bank import Opened
from tests.support.ledger import (
    BALANCES,
    JOURNAL,
    LEDGER,
    AccountEvent,
    Balance,
    Close,
    Closed,
    Deposit,
    Deposited,
    GetBalances,
    GetJournal,
    balances,
    project_balance,
)


class Seen(View):
    """Every part of a recorded event's place."""

    places: tuple[tuple[str, str, int, int], ...] = ()
    times: tuple[datetime, ...] = ()
    ids: tuple[tuple[str, str, str | None, str | None], ...] = ()


def see(view: Seen | None, recorded: Recorded[Deposited], key: str) -> Seen:
    view = view or Seen()
    place = (recorded.stream, recorded.stream_id, recorded.version, recorded.position)
    ids = (recorded.command_id, recorded.correlation_id, recorded.causation_id, recorded.traceparent)
    return Seen((*view.places, place), (*view.times, recorded.recorded_at), (*view.ids, ids))


def fail_at_13(view: Balance | None, recorded: Recorded[AccountEvent], key: str) -> Balance | Removed:
    if recorded.event == Deposited(13):
        raise ZeroDivisionError("a bug in project")
    return project_balance(view, recorded, key)


SEEN = given(Projection(name="seen", version=1, view=Seen, project=see, key=lambda recorded: "all", on_poison=STOP))
PAID = given(BALANCES).recorded("account-a", Deposited(5), Deposited(2))


def seen(after: Any) -> Seen:
    view: Seen = after.views["all"]
    return view


def test_events_make_views() -> None:
    PAID.then_view("a", Balance("a", 7, [1, 2]))


def test_later_events_follow_the_earlier_ones() -> None:
    PAID.recorded("account-b", Deposited(1)).recorded("account-a", Deposited(1)).then_views(
        {"a": Balance("a", 8, [1, 2, 4]), "b": Balance("b", 1, [3])}
    )


def test_before_any_event_there_is_no_view() -> None:
    given(BALANCES).then_no_view("a").then_views({})


def test_a_view_may_be_removed_and_made_anew() -> None:
    closed = PAID.recorded("account-a", Closed()).then_no_view("a").then_views({})
    closed.recorded("account-a", Deposited(3)).then_view("a", Balance("a", 3, [4]))
    closed.recorded("account-a", Closed()).then_no_view("a")


def test_one_event_may_touch_several_views_or_none() -> None:
    both = balances(key=lambda recorded: ("all", recorded.stream_id) if recorded.stream_id != "x" else ())
    given(both).recorded("account-a", Deposited(5)).recorded("account-x", Deposited(9)).then_views(
        {"all": Balance("all", 5, [1]), "a": Balance("a", 5, [1])}
    )


def test_what_was_recorded_stays_as_it_was_for_other_tests() -> None:
    PAID.recorded("account-a", Deposited(1))
    PAID.recorded("account-b", Deposited(1))
    PAID.then_views({"a": Balance("a", 7, [1, 2])})
    assert PAID.recorded("account-b", Deposited(1)).views == {"a": Balance("a", 7, [1, 2]), "b": Balance("b", 1, [3])}


def test_places_count_by_themselves() -> None:
    after = SEEN.recorded("account-a", Deposited(1), Deposited(2)).recorded("account-b-c", Deposited(3))
    assert seen(after.recorded("account-a", Deposited(4))).places == (
        ("account-a", "a", 1, 1),
        ("account-a", "a", 2, 2),
        ("account-b-c", "b-c", 1, 3),
        ("account-a", "a", 3, 4),
    )


def test_places_may_be_named_and_count_on_from_there() -> None:
    after = SEEN.recorded("account-a", Deposited(1), Deposited(2), position=10, version=5)
    assert seen(after.recorded("account-a", Deposited(3))).places == (
        ("account-a", "a", 5, 10),
        ("account-a", "a", 6, 11),
        ("account-a", "a", 7, 12),
    )


@pytest.mark.parametrize("place", [{"position": 2}, {"version": 2}, {"position": 0}])
def test_a_place_that_is_taken_is_refused(place: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="does not follow 2, which is taken"):
        PAID.recorded("account-a", Deposited(1), position=place.get("position"), version=place.get("version"))


def test_time_stands_still_until_another_one_is_named() -> None:
    noon = datetime(2013, 1, 1, 13, 0, tzinfo=timezone(timedelta(hours=1)))
    after = SEEN.recorded("account-a", Deposited(1)).recorded("account-a", Deposited(1), Deposited(1), recorded_at=noon)
    assert seen(after.recorded("account-a", Deposited(1))).times == (RECORDED_AT, noon, noon, noon)
    assert seen(after).times[1].tzinfo is UTC


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="has no zone"):
        PAID.recorded("account-a", Deposited(1), recorded_at=datetime(2013, 1, 1))


def test_each_event_has_a_command_of_its_own_unless_it_is_named() -> None:
    after = SEEN.recorded("account-a", Deposited(1), Deposited(1)).recorded(
        "account-a", Deposited(1), Deposited(1), command_id="c", causation_id="cause", traceparent="00-1"
    )
    assert seen(after.recorded("account-a", Deposited(1), correlation_id="talk")).ids == (
        ("command-1", "command-1", None, None),
        ("command-2", "command-2", None, None),
        ("c", "c", "cause", "00-1"),
        ("c", "c", "cause", "00-1"),
        ("command-5", "talk", None, None),
    )


@pytest.mark.parametrize("stream", ["a", "", "-a", "account-", "account-\0", "1-a"])
def test_a_stream_needs_category_and_id(stream: str) -> None:
    with pytest.raises(ValueError, match="is no stream"):
        PAID.recorded(stream, Deposited(1))


def test_an_event_that_the_projection_does_not_take_is_refused() -> None:
    event: Any = Opened()
    with pytest.raises(TypeError, match="none of the events of projection 'balances'"):
        PAID.recorded("account-a", event)


def test_where_the_bus_would_stop_the_projection_its_error_is_raised_with_the_cause() -> None:
    with pytest.raises(ProjectionStopped, match="'balances' stopped at position 3: ZeroDivisionError") as stopped:
        given(balances(fail_at_13)).recorded("account-a", Deposited(1), Deposited(1), Deposited(13))
    assert isinstance(stopped.value.__cause__, ZeroDivisionError)
    assert stopped.value.position == 3


async def test_the_views_are_those_of_the_bus() -> None:
    async with Bus(LEDGER) as bus:
        await bus.send_many([Deposit("a", 5, times=2), Deposit("b", 1), Deposit("a", 2), Deposit("c"), Close("b")])
        await bus.wait_settled()
        kept, journal = await bus.query(GetBalances()), await bus.query(GetJournal())
        events = [one async for one in bus.events()]
    balance: Any = given(BALANCES)
    entries: Any = given(JOURNAL)
    for one in events:
        balance = balance.recorded(one.stream, one.event)
        entries = entries.recorded(one.stream, one.event)
    assert sorted(balance.views.values(), key=lambda view: view.account) == sorted(kept, key=lambda view: view.account)
    assert entries.views == {"all": journal}


def failure(of: Any) -> str:
    """What a test says that fails."""
    with pytest.raises(AssertionError) as failed:
        of()
    return str(failed.value)


def test_another_view_is_told_field_by_field() -> None:
    assert failure(lambda: PAID.then_view("a", Balance("a", 8, [1, 3]))) == (
        "the view of key 'a' is another than expected:\n"
        "  Balance.balance\n"
        "    expected 8\n"
        "    but was  7\n"
        "  Balance.positions[1]\n"
        "    expected 3\n"
        "    but was  2"
    )


def test_a_missing_view_is_told_with_those_that_are_there() -> None:
    told = failure(lambda: PAID.then_view("b", Balance("b", 8, [])))
    assert told.startswith("there is no view of key 'b':\n  missing: Balance(")
    assert told.endswith("there are ['a']")
    assert failure(lambda: given(BALANCES).then_view("b", Balance("b", 8, []))).endswith("there are no views")


def test_a_view_where_none_was_expected_is_told() -> None:
    assert failure(lambda: PAID.then_no_view("a")) == (
        "key 'a' was expected to have no view, but has Balance(account='a', balance=7, positions=[1, 2])"
    )


def test_of_all_views_those_that_differ_are_told() -> None:
    both = PAID.recorded("account-b", Deposited(1))
    right = Balance("a", 7, [1, 2])
    assert failure(lambda: both.then_views({"a": right, "c": right})) == (
        "the views of 'balances' are others than expected:\n"
        "  view 'b' was not expected: Balance(account='b', balance=1, positions=[3])\n"
        "  view 'c' is missing: Balance(account='a', balance=7, positions=[1, 2])"
    )
    assert failure(lambda: both.then_views({"a": right, "b": Balance("b", 2, [3])})) == (
        "the views of 'balances' are others than expected:\n  view 'b', Balance.balance\n    expected 2\n    but was  1"
    )
