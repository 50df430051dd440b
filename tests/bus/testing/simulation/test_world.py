"""The world: a disk that is looked at whenever it changes, and chance that can be switched off."""

import asyncio
from collections.abc import Sequence

from bus import Command, Limits
from bus.core.stored import Append, Checkpoint, NewEvent, Stale, StoredView, ViewChanges, table_of
from bus.testing import Faults, Model
from bus.testing.simulation.asking import at_once
from bus.testing.simulation.loop import simulated_loop
from bus.testing.simulation.world import EPOCH, World
from tests.simulation.shop import SHELVES, SHOP, Sell, Stock

STOCKED = NewEvent("stocked", b'{"$type":"stocked","count":3}')
TABLE = table_of(SHELVES)
SHELF = StoredView("a", b'{"item":"a","left":3,"events":1}', (3,))


def world(faults: Faults | None = None, *, seed: int = 1, invariants: Sequence[object] = ()) -> World:
    made = World(SHOP, seed, faults=faults or Faults.none(), limits=Limits(), invariants=invariants)  # type: ignore[arg-type]
    made.prepare([TABLE])
    return made


def stock(to: World, command_id: str = "c1", version: int = 0, sent: Command | None = None) -> None:
    to.sent.setdefault(command_id, []).append(sent or Stock("a", 3))
    to.append([Append("item-a", version, (STOCKED,), command_id, Stock("a", 3))], EPOCH)


def views(position: int, *put: StoredView, expected: int = 0) -> ViewChanges:
    return ViewChanges(Checkpoint(expected), Checkpoint(position), put, ())


def test_what_is_appended_is_in_the_model_and_told() -> None:
    one = world()
    stock(one)
    assert one.violation is None
    assert one.model.head == 1
    assert one.history.counts["commit"] == 1


def test_an_event_that_its_command_does_not_decide_is_a_violation() -> None:
    one = world()
    stock(one, sent=Sell("a", 3))
    assert one.violation is not None
    assert "does not decide" in one.violation


def test_a_command_that_nobody_sent_is_a_violation() -> None:
    one = world()
    one.append([Append("item-a", 0, (STOCKED,), "c1", Stock("a", 3))], EPOCH)
    assert one.violation is not None


def test_a_rule_of_the_users_is_asked_after_each_append() -> None:
    heads: list[int] = []

    def rule(model: Model) -> None:
        heads.append(model.head)
        assert model.head < 2, "two is too many"

    one = world(invariants=[rule])
    stock(one)
    stock(one, "c2", 1)
    assert heads == [1, 2]
    assert one.violation is not None
    assert one.violation.startswith("two is too many")
    one.fail("only the first is told")
    assert one.violation.startswith("two is too many")


def test_views_are_compared_with_the_events_up_to_their_checkpoint() -> None:
    one = world()
    stock(one)
    assert one.commit_views(TABLE, views(1, SHELF))
    one.check_views()
    assert one.checkpoints()["shelves"].position == 1
    stock(one, "c2", 1)
    assert one.commit_views(TABLE, views(2, SHELF, expected=1))
    assert one.violation is not None
    assert "view 'a' of 'shelves'" in one.violation


def test_views_without_a_row_that_they_should_have_are_a_violation() -> None:
    one = world()
    stock(one)
    one.commit_views(TABLE, views(1))
    assert one.violation is not None


def test_views_ahead_of_the_store_are_a_violation() -> None:
    one = world()
    one.commit_views(TABLE, views(1))
    assert one.violation is not None
    assert "ahead of the store" in one.violation


def test_a_commit_on_another_checkpoint_changes_nothing() -> None:
    one = world()
    stock(one)
    assert not one.commit_views(TABLE, views(1, SHELF, expected=5))
    assert one.checkpoints()["shelves"].position == 0


def test_a_crash_may_take_the_last_commits_of_the_views_with_it_and_none_of_the_events() -> None:
    for seed in range(20):
        one = world(Faults(views_rolled_back=1.0), seed=seed)
        if not one.faults.views_rolled_back:
            continue
        stock(one)
        one.commit_views(TABLE, views(1, SHELF))
        one.crash()
        # Perhaps even the table has gone with it.
        assert one.prepare([TABLE])[TABLE].position == 0
        assert at_once(one.views.load(TABLE, ["a"])) == {}
        assert one.model.head == 1
        return


def test_another_writer_decides_on_what_the_store_holds() -> None:
    one = world()
    stock(one)
    batch = [Append("item-a", 1, (STOCKED,), "c2", Stock("a", 3))]
    one.append_foreign(batch, lambda: Sell("a", 1), EPOCH)
    assert one.violation is None
    assert [event.event.__class__.__name__ for event in one.model.events] == ["Stocked", "Sold"]
    assert one.append(batch, EPOCH).refused == {0: Stale(2)}
    one.append_foreign(batch, lambda: Sell("a", 99), EPOCH)
    assert one.model.head == 2, "what it would be refused it does not write"


def test_what_a_server_got_late_it_does_although_its_client_is_gone() -> None:
    one = world()
    one.sent["c1"] = [Stock("a", 3)]
    first = simulated_loop(one.schedule, 0.0)
    one.append_late(first, [Append("item-a", 0, (STOCKED,), "c1", Stock("a", 3))], EPOCH)
    first.abandon()

    async def wait() -> None:
        await asyncio.sleep(10)

    second = simulated_loop(one.schedule, 1.0)
    one.resume_late(second)
    second.run(wait(), lambda: False)
    assert (one.model.head, one.late) == (1, [])


def test_nothing_goes_wrong_once_the_world_is_calm() -> None:
    one = world()
    assert any(one.happens(0.5) for _ in range(50))
    assert not any(one.happens(0) for _ in range(50))
    one.is_calm = True
    assert not any(one.happens(1) for _ in range(50))
