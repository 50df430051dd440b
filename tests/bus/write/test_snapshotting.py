"""Which states are due, and that what is noted is what is written."""

import anyio

from bus import Decider, Limits, State
from bus.core.stored import NewEvent
from bus.runtime.reply import reply_factory
from bus.write.directory import Actor
from bus.write.snapshotting import Snapshotting
from tests.contracts.entries import NOON, entry
from tests.scenarios.test_snapshots import Account, Noting, decide, decider, evolve
from tests.support.bank import identify


def actor(version: int, snapshot_version: int = 0, state: State | None = None) -> Actor:
    made = Actor("account-a", decider(every=3))
    made.state, made.version, made.snapshot_version = state or Account(True, version), version, snapshot_version
    return made


def snapshotting(store: Noting) -> Snapshotting:
    return Snapshotting([decider()], store, new_reply=reply_factory(), limits=Limits())


async def test_a_state_is_due_so_many_events_after_the_last_snapshot() -> None:
    for version, last, is_due in (
        (2, 0, False),
        (3, 0, True),
        (9, 0, True),
        (5, 3, False),
        (6, 3, True),
        (3, 3, False),
    ):
        one = snapshotting(Noting())
        it = actor(version, last)
        one.look([it])
        assert (one.busy, it.snapshot_version) == ((1, version) if is_due else (0, last))
        one.look([it])
        assert one.busy == is_due


async def test_who_has_no_state_or_no_policy_is_not_due() -> None:
    one = snapshotting(Noting())
    cold = actor(9)
    cold.state = None
    plain = Actor(
        "account-b",
        Decider(category="account", initial=Account(), identify=identify, decide=decide, evolve=evolve),
    )
    plain.state, plain.version = Account(), 99
    one.look([cold, plain])
    assert one.busy == 0
    assert not Snapshotting([plain.decider], Noting(), new_reply=reply_factory(), limits=Limits()).is_wanted


async def test_what_is_written_is_the_state_that_was_noted_though_its_actor_has_gone_on() -> None:
    store = Noting()
    async with store:
        await store.append([entry("account-a", 0, "c1", [NewEvent("deposited", b"{}")] * 6)], NOON)
        one = snapshotting(store)
        it = actor(3)
        one.look([it])
        it.state, it.version = Account(True, 99), 4
        async with anyio.create_task_group() as group:
            group.start_soon(one.run)
            await one.wait_idle()
            group.cancel_scope.cancel()
        assert store.saved == [[("account-a", 3)]]
        assert store._snapshots["account-a"].payload == b'{"is_open":true,"balance":3}'
        assert (one.written, one.failures, one.busy) == (1, 0, 0)
