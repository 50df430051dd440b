"""A commit that fails, or may have: nobody sees a state that never was, and nobody is left without an answer."""

import itertools

import anyio
import pytest

from bus import Bus, Limits, OutcomeUnknown, StoreUnavailable
from tests.support.bank import (
    ACCOUNT,
    BANK,
    Account,
    AlreadyOpen,
    Deposit,
    Deposited,
    Misbehave,
    NotOpen,
    Open,
    Opened,
    Overdrawn,
    Touch,
    Withdraw,
)
from tests.support.sending import begin, names, receipt
from tests.support.stores import FakeEventStore, Gate, Step, lost_after, lost_before, normal, unavailable


async def test_a_rejection_resting_on_a_commit_that_failed_for_certain_is_decided_again() -> None:
    store = FakeEventStore()
    async with Bus(BANK, event_store=store) as bus:
        await bus.send(Touch("a"))
        store.script.append(unavailable)
        first, second = await bus.send_many([Open("a"), Open("a")])
        assert isinstance(first, StoreUnavailable)
        assert receipt(second).version == 1
        assert await names(bus) == ["account-a 1 Opened"]


async def test_a_rejection_resting_on_a_commit_of_unknown_outcome_is_decided_again() -> None:
    store = FakeEventStore()
    limits = Limits(append_attempts_max=1)
    async with Bus(BANK, event_store=store, limits=limits) as bus:
        await bus.send(Touch("a"))
        store.script.append(lost_before)
        first, second = await bus.send_many([Open("a"), Open("a")])
        assert isinstance(first, OutcomeUnknown)
        assert receipt(second).version == 1


async def test_a_rejection_resting_on_a_commit_that_happened_unseen_is_confirmed() -> None:
    store = FakeEventStore()
    async with Bus(BANK, event_store=store, limits=Limits(append_attempts_max=1)) as bus:
        await bus.send(Touch("a"))
        store.script.append(lost_after)
        first, second = await bus.send_many([Open("a"), Open("a")])
        assert isinstance(first, OutcomeUnknown)
        assert isinstance(second, AlreadyOpen)
        assert await names(bus) == ["account-a 1 Opened"]


async def test_a_rejection_with_a_named_id_in_a_batch_that_failed_says_that_nothing_is_recorded() -> None:
    store = FakeEventStore()
    async with Bus(BANK, event_store=store) as bus:
        await bus.send(Touch("a"))
        store.script.append(unavailable)
        outcomes = await bus.send_many([Open("a"), Open("a")], command_ids=["1", "2"])
        assert [type(outcome) for outcome in outcomes] == [StoreUnavailable, StoreUnavailable]
        assert await names(bus) == []
        assert receipt((await bus.send_many([Open("a")], command_ids=["2"]))[0]).duplicate is False


@pytest.mark.parametrize("given", [True, False], ids=["named", "unnamed"])
async def test_what_rests_on_a_staged_state_is_answered_only_after_its_commit(given: bool) -> None:
    store = FakeEventStore()
    async with Bus(BANK, event_store=store) as bus, anyio.create_task_group() as tasks:
        gate = Gate()
        await bus.send(Touch("a"))
        await bus.send(Touch("b"))
        first_gate = Gate()
        store.script.extend([first_gate.before, gate.before])
        opening = await begin(tasks, bus, Open("b"))
        await first_gate.reached.wait()
        ids = {"command_id": "given"} if given else {}
        sent = [
            await begin(tasks, bus, Open("a")),
            await begin(tasks, bus, Withdraw("a", 5), **ids),
            await begin(tasks, bus, Touch("a")),
            await begin(tasks, bus, Misbehave("a", "raise")),
        ]
        # Of an aggregate on whose committed state they rest, the same are answered at once.
        other = await begin(tasks, bus, Touch("c"))
        first_gate.release()
        await opening.receipt()
        await gate.reached.wait()
        await anyio.wait_all_tasks_blocked()
        assert not any(one.is_done for one in sent)
        gate.release()
        assert (await sent[0].receipt()).version == 1
        assert isinstance(await sent[1].outcome(), Overdrawn)
        assert (await sent[2].receipt()).version == 1
        assert (await sent[3].outcome()).code == "command-failed"  # type: ignore[union-attr]
        await other.receipt()


@pytest.mark.parametrize("failing", [unavailable, lost_before], ids=["certain", "uncertain"])
async def test_rejections_no_ops_and_bugs_on_a_state_that_never_was_are_decided_again(failing: Step) -> None:
    store = FakeEventStore()
    async with Bus(BANK, event_store=store, limits=Limits(append_attempts_max=1)) as bus:
        await bus.send(Touch("a"))
        store.script.append(failing)
        outcomes = await bus.send_many(
            [Open("a"), Open("a"), Touch("a"), Misbehave("a", "raise"), Deposit("a", 5), Withdraw("a", 5)]
        )
        assert isinstance(outcomes[0], StoreUnavailable | OutcomeUnknown)
        assert receipt(outcomes[1]).version == 1
        assert receipt(outcomes[2]).version == 1
        assert outcomes[3].code == "command-failed"  # type: ignore[union-attr]
        assert receipt(outcomes[4]).version == 2
        assert receipt(outcomes[5]).version == 3
        assert await names(bus) == ["account-a 1 Opened", "account-a 2 Deposited", "account-a 3 Withdrawn"]


async def test_commands_decided_again_stay_before_those_that_came_later() -> None:
    store = FakeEventStore()
    async with Bus(BANK, event_store=store) as bus, anyio.create_task_group() as tasks:
        gate = Gate()
        await bus.send(Touch("a"))
        store.script.append(gate.unavailable)
        # Withdraw rests on the opening as staged; it is decided again when that fails, before the second opening.
        one = await begin(tasks, bus, Open("a"))
        await gate.reached.wait()
        later = [await begin(tasks, bus, Deposit("a", 1)), await begin(tasks, bus, Open("a"))]
        gate.release()
        assert isinstance(await one.outcome(), StoreUnavailable)
        assert isinstance(await later[0].outcome(), NotOpen)
        assert (await later[1].receipt()).version == 1


async def test_a_store_that_is_away_leaves_the_states_as_they_were() -> None:
    store = FakeEventStore()
    async with Bus(BANK, event_store=store) as bus:
        await bus.send(Open("a"))
        await bus.send(Deposit("a", 10))
        reads = store.reads
        store.script.extend([unavailable, unavailable])
        for _ in range(2):
            with pytest.raises(StoreUnavailable):
                await bus.send(Withdraw("a", 7))
        assert (await bus.send(Withdraw("a", 7))).version == 3
        with pytest.raises(Overdrawn):
            await bus.send(Withdraw("a", 7))
        assert store.reads == reads, "nothing had to be recovered"


async def test_an_uncertain_append_is_repeated_with_the_identical_batch() -> None:
    store = FakeEventStore()
    async with Bus(BANK, event_store=store) as bus:
        store.script.extend([lost_before, lost_before, normal])
        first, second, third = await bus.send_many([Open("a"), Deposit("a", 1), Open("b")])
        assert store.batches[0] == store.batches[1] == store.batches[2]
        assert store.times[0] == store.times[1] == store.times[2]
        assert [receipt(one).position for one in (first, second, third)] == [1, 2, 3]
        assert not any(receipt(one).duplicate for one in (first, second, third))


async def test_receipts_of_a_batch_that_had_happened_are_no_duplicates_and_have_its_places() -> None:
    store = FakeEventStore()
    async with Bus(BANK, event_store=store) as bus:
        await bus.send(Open("z"))
        store.script.extend([lost_after])
        outcomes = await bus.send_many([Open("a"), Deposit("a", 1), Open("b"), Deposit("a", 2)])
        places = [(one.stream, one.version, one.position, one.duplicate) for one in map(receipt, outcomes)]
        # An aggregate's mail is decided together, so that a's three come before b's one.
        assert places == [
            ("account-a", 1, 2, False),
            ("account-a", 2, 3, False),
            ("account-b", 1, 5, False),
            ("account-a", 3, 4, False),
        ]
        assert [receipt(one).events for one in outcomes] == [
            (Opened(),),
            (Deposited(1),),
            (Opened(),),
            (Deposited(2),),
        ]
        assert len(await names(bus)) == 5
        assert (await bus.send(Deposit("a", 3))).position == 6


async def test_a_certain_failure_after_an_uncertain_one_is_not_taken_for_certain() -> None:
    store = FakeEventStore()
    async with Bus(BANK, event_store=store) as bus:
        store.script.extend([lost_after, unavailable])
        taken = await bus.send(Open("a"))
        assert (taken.version, taken.position, taken.duplicate) == (1, 1, False)
        assert len(store.batches) == 3


async def test_attempts_end_in_outcome_unknown_and_sending_again_gives_the_receipt() -> None:
    store = FakeEventStore()
    async with Bus(BANK, event_store=store, limits=Limits(append_attempts_max=3)) as bus:
        store.script.extend([lost_after, lost_before, lost_before])
        with pytest.raises(OutcomeUnknown, match="Send it again with the same command id") as caught:
            await bus.send(Open("a"), command_id="the-id")
        assert caught.value.command_id == "the-id"
        assert len(store.batches) == 3
        again = await bus.send(Open("a"), command_id="the-id")
        assert (again.version, again.position, again.duplicate) == (1, 1, True)
        assert await names(bus) == ["account-a 1 Opened"]


async def test_sending_again_records_what_the_unknown_outcome_had_not() -> None:
    store = FakeEventStore()
    async with Bus(BANK, event_store=store, limits=Limits(append_attempts_max=1)) as bus:
        store.script.append(lost_before)
        with pytest.raises(OutcomeUnknown):
            await bus.send(Open("a"), command_id="the-id")
        assert (await bus.send(Open("a"), command_id="the-id")).duplicate is False


async def test_pauses_between_attempts_double_up_to_their_limit() -> None:
    store = FakeEventStore()
    limits = Limits(append_attempts_max=6, append_backoff_s=1, append_backoff_max_s=4, send_timeout_s=1_000)
    async with Bus(BANK, event_store=store, limits=limits) as bus:
        times: list[float] = []

        async def fail(_: object) -> object:
            times.append(anyio.current_time())
            raise ConnectionError

        store.script.extend([fail] * 6)  # type: ignore[list-item]
        with pytest.raises(OutcomeUnknown):
            await bus.send(Open("a"))
        assert [round(later - sooner) for sooner, later in itertools.pairwise(times)] == [1, 2, 4, 4, 4]


async def test_what_was_staged_is_recorded_although_its_sender_is_gone() -> None:
    store = FakeEventStore()
    async with Bus(BANK, event_store=store) as bus, anyio.create_task_group() as tasks:
        gate = Gate()
        store.script.append(gate.lost)
        sent = await begin(tasks, bus, Open("a"))
        await gate.reached.wait()
        sent.cancel()
        await anyio.wait_all_tasks_blocked()
        gate.release()
        await bus.wait_settled()
        assert len(store.batches) == 2
        assert await names(bus) == ["account-a 1 Opened"]


async def test_a_twin_keeps_an_append_going_whose_first_sender_is_gone() -> None:
    store = FakeEventStore()
    async with Bus(BANK, event_store=store) as bus, anyio.create_task_group() as tasks:
        gate = Gate()
        store.script.append(gate.lost)
        first = await begin(tasks, bus, Open("a"), command_id="the-id")
        await gate.reached.wait()
        twin = await begin(tasks, bus, Open("a"), command_id="the-id")
        first.cancel()
        await anyio.wait_all_tasks_blocked()
        gate.release()
        assert (await twin.receipt()).version == 1
        assert len(store.batches) == 2


async def test_after_an_unknown_outcome_nothing_is_decided_on_what_is_no_longer_so() -> None:
    store = FakeEventStore()
    async with Bus(BANK, event_store=store, limits=Limits(append_attempts_max=1)) as bus:
        await bus.send(Touch("a"))
        store.script.append(lost_after)
        with pytest.raises(OutcomeUnknown):
            await bus.send(Open("a"))
        with pytest.raises(AlreadyOpen):
            await bus.send(Open("a"))
        store.script.append(lost_after)
        with pytest.raises(OutcomeUnknown):
            await bus.send(Deposit("a", 5))
        assert (await bus.send(Withdraw("a", 5))).version == 3


async def test_what_was_decided_before_an_event_that_was_recorded_unseen_is_not_decided_after_it() -> None:
    store = FakeEventStore()
    async with Bus(BANK, event_store=store) as bus:
        await bus.send(Open("a"))
        store.script.append(lost_after)
        outcomes = await bus.send_many([Deposit("a", 1), Withdraw("a", 5), Deposit("a", 10), Touch("a")])
        assert [receipt(outcomes[place]).version for place in (0, 2, 3)] == [2, 3, 3]
        assert isinstance(outcomes[1], Overdrawn), "there was not enough at its turn"
        assert not any(receipt(outcomes[place]).duplicate for place in (0, 2, 3))
        assert (await bus.load(ACCOUNT, "a")).state == Account(True, 11)


async def test_a_confirmed_no_op_stays_before_an_event_of_its_batch_that_was_recorded_unseen() -> None:
    store = FakeEventStore(shared=True)
    async with Bus(BANK, event_store=store) as bus:
        await bus.send(Open("a"))
        store.script.append(lost_after)
        nothing, deposit = await bus.send_many([Touch("a"), Deposit("a", 1)])
        assert (receipt(nothing).version, receipt(deposit).version) == (1, 2)
        await bus.send(Withdraw("a", 1))
        assert (await bus.load(ACCOUNT, "a")).version == 3
