"""Simulate: the same history from the same seed, users' own mistakes and rules, and failures that are told briefly."""

from collections.abc import Callable, Sequence
from random import Random

import anyio.to_thread
import pytest

from bus import STOP, Application, Command, Decider, Limits, Projection, Query, Recorded, Views
from bus.testing import Faults, Model, SimulationFailed, simulate
from tests.simulation.planted import (
    acknowledge_before_commit,
    skip_the_hand_over_overlap,
)
from tests.simulation.planted_sharing import take_a_lease_without_a_new_epoch
from tests.simulation.shop import (
    ITEM,
    SHOP,
    TILL,
    Check,
    GetTill,
    Item,
    ItemCommand,
    ItemEvent,
    Sell,
    Sold,
    Stock,
    Till,
    decide,
    evolve,
    project_till,
    shopping,
)
from tests.support.lines import Line, Reads, bookkeeping


def test_the_same_seed_gives_the_same_history_and_another_one_another() -> None:
    one, again, other = (simulate(SHOP, seed=seed, workload=shopping) for seed in (5, 5, 6))
    assert one.lines == again.lines
    assert one.digest == again.digest != other.digest


def test_with_several_buses_it_is_another_history_and_the_same_again() -> None:
    one, again = (simulate(SHOP, seed=5, workload=shopping, buses=2) for _ in range(2))
    assert one.lines == again.lines
    assert one.digest != simulate(SHOP, seed=5, workload=shopping).digest
    assert one.digest != simulate(SHOP, seed=5, workload=shopping, buses=3).digest


def missing(*, of: set[str], histories: int, buses: int = 1) -> set[str]:
    """What happens in none of so many histories; as soon as it is nothing, no more of them are run."""
    missing = set(of)
    for seed in range(histories):
        missing -= set(simulate(SHOP, seed=seed, workload=shopping, buses=buses).counts)
        if not missing:
            break
    return missing


def test_histories_of_several_buses_hold_what_goes_wrong_among_them_as_well() -> None:
    assert not missing(histories=30, buses=2, of={
        "CRASH", "PAUSE", "RESUME", "close", "lease", "lease lapses", "lease given up", "views late", "append late",
        "answer lost", "foreign", "hang", "projected", "version-conflict", "bus-closed",
    })  # fmt: skip


def test_a_failure_of_several_buses_says_how_many_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    take_a_lease_without_a_new_epoch(monkeypatch)
    failed = failure(shrink=True, buses=3)
    assert f"Seed {failed.seed} with 3 buses and {failed.commands} commands does it again" in str(failed)
    assert failed.buses == 3
    assert failed.commands < 200


@pytest.mark.parametrize("buses", [0, -1, 27])
def test_there_are_as_many_buses_as_have_a_letter(buses: int) -> None:
    with pytest.raises(ValueError, match="between 1 and 26"):
        simulate(SHOP, seed=1, workload=shopping, buses=buses)


async def test_an_asynchronous_test_may_simulate_as_well() -> None:
    expected = await anyio.to_thread.run_sync(lambda: simulate(SHOP, seed=5, workload=shopping, commands=40))
    assert simulate(SHOP, seed=5, workload=shopping, commands=40).lines == expected.lines


def test_histories_hold_everything_that_may_go_wrong() -> None:
    assert not missing(histories=60, of={
        "CRASH", "close", "views lost", "foreign", "hang", "cancelled", "answer", "projected", "read fails",
        "append refused", "append lost", "append late", "answer lost", "views refused", "views not committed",
        "views' answer lost", "projection raises", "deadline-exceeded", "overloaded", "outcome-unknown",
        "version-conflict", "command-id-reused", "store-unavailable", "bus-closed", "receipt", "rejected.sold-out",
    })  # fmt: skip


def test_in_a_world_without_faults_nothing_goes_wrong() -> None:
    history = simulate(SHOP, seed=1, workload=shopping, faults=Faults.none())
    wrong = {"CRASH", "hang", "read fails", "answer lost", "cancelled", "foreign", "overloaded", "outcome-unknown"}
    assert not wrong & set(history.counts)
    assert history.counts["send"] > 100


def test_an_invariant_that_does_not_hold_is_told_in_the_shortest_history_that_breaks_it() -> None:
    def few(model: Model) -> None:
        assert model.head < 10, f"there are {model.head} events"

    with pytest.raises(SimulationFailed, match=r"there are 1\d events") as failed:
        simulate(SHOP, seed=3, workload=shopping, invariants=[few], faults=Faults.none())
    assert failed.value.seed == 3
    assert failed.value.commands < 60
    assert "commit" in str(failed.value)
    with pytest.raises(SimulationFailed):
        simulate(
            SHOP, seed=3, workload=shopping, invariants=[few], faults=Faults.none(), commands=failed.value.commands
        )
    simulate(
        SHOP, seed=3, workload=shopping, invariants=[few], faults=Faults.none(), commands=failed.value.commands - 1
    )


def test_an_invariant_sees_all_states_and_views() -> None:
    seen: list[int] = []

    def sane(model: Model) -> None:
        pieces = {item: state.left for item, state in model.states(ITEM).items()}
        assert min(pieces.values(), default=0) >= 0
        assert sum(till.pieces for item, till in model.views(TILL).items() if item != "all") == sum(
            one.event.count for one in model.events if isinstance(one.event, Sold)
        )
        seen.append(len(pieces))

    simulate(SHOP, seed=11, workload=shopping, invariants=[sane])
    assert max(seen) == 3


def test_a_failure_is_shortened_unless_it_is_to_be_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    skip_the_hand_over_overlap(monkeypatch)
    (whole, shorter) = (failure(shrink=shrink) for shrink in (False, True))
    assert whole.seed == shorter.seed
    assert whole.commands == 200
    assert shorter.commands < whole.commands


def failure(shrink: bool, buses: int = 1) -> SimulationFailed:
    """The first history that fails."""
    for seed in range(50):
        try:
            simulate(SHOP, seed=seed, workload=shopping, buses=buses, shrink=shrink)
        except SimulationFailed as failed:
            return failed
    pytest.fail("no history failed")


def test_what_a_broken_bus_leaves_behind_does_not_reach_the_next_history() -> None:
    with pytest.MonkeyPatch.context() as patch:
        acknowledge_before_commit(patch)
        with pytest.raises(SimulationFailed):
            simulate(SHOP, seed=1, workload=shopping)
    simulate(SHOP, seed=1, workload=shopping)


def test_a_mistake_in_decide_is_found_and_shown() -> None:
    def hasty(command: ItemCommand, item: Item) -> Sequence[ItemEvent]:
        if isinstance(command, Sell) and item.left == 7:
            raise KeyError("seven")
        return decide(command, item)

    broken = Decider(category="item", initial=Item(), identify=lambda c: c.item, decide=hasty, evolve=evolve)
    with pytest.raises(SimulationFailed, match=r"Sell\(.*\) failed: .*KeyError"):
        simulate(Application(deciders=[broken]), seed=2, commands=2_000, faults=Faults.none())


def test_a_mistake_in_a_projection_is_found_and_shown() -> None:
    def hasty(view: Till | None, recorded: Recorded[ItemEvent], key: str) -> Till:
        raise ZeroDivisionError

    broken = Projection(name="till", version=1, view=Till, project=hasty, key=lambda one: one.stream_id, on_poison=STOP)
    with pytest.raises(SimulationFailed, match="till"):
        simulate(Application(deciders=[ITEM], projections=[broken]), seed=1, workload=stocking)


def test_a_mistake_in_a_query_handler_is_found_and_shown() -> None:
    async def hasty(query: GetTill, views: Views) -> Till | None:
        raise ZeroDivisionError("no till")

    till = Projection(name="till", version=1, view=Till, project=project_till, key=lambda one: "all", on_poison=STOP)
    application = Application(deciders=[ITEM], projections=[till], query_handlers=[hasty])
    with pytest.raises(SimulationFailed, match="no till"):
        simulate(application, seed=1, faults=Faults.none())


def test_a_decider_that_is_not_pure_is_found() -> None:
    moods = Random(1)

    def moody(command: ItemCommand, item: Item) -> Sequence[ItemEvent]:
        return decide(command, item) if moods.random() < 0.9 else ()

    broken = Decider(category="item", initial=Item(), identify=lambda c: c.item, decide=moody, evolve=evolve)
    with pytest.raises(SimulationFailed):
        simulate(Application(deciders=[broken]), seed=1, workload=stocking, shrink=False)


def test_limits_that_are_given_are_those_of_the_bus() -> None:
    history = simulate(SHOP, seed=1, workload=shopping, faults=Faults.none(), limits=Limits(bus_commands_max=1))
    assert history.counts["overloaded"] > 0


def stocking(chance: Random) -> Command | Query[object]:
    return Stock("a", chance.randint(1, 3)) if chance.random() < 0.7 else Check("a")


async def _later(model: Model) -> None: ...


def _mistaken(model: Model) -> None:
    raise KeyError("a mistake")


@pytest.mark.filterwarnings("ignore:coroutine")
@pytest.mark.parametrize(("invariant", "what"), [(_mistaken, "a mistake"), (_later, "plain function")])
def test_an_invariant_that_cannot_be_checked_is_told(invariant: Callable[[Model], object], what: str) -> None:
    with pytest.raises(SimulationFailed, match=what):
        simulate(SHOP, seed=1, workload=shopping, invariants=[invariant], shrink=False)


def test_what_needs_sql_is_left_out() -> None:
    async def fetch(query: str) -> list[Line]:
        raise AssertionError

    assert simulate(bookkeeping(Reads(fetch)), seed=3, commands=60).counts["send"] > 0
