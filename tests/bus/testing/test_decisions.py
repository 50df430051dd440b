"""Decisions: a command is decided as the bus would, and whatever is not pure about it is found."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from bus import Bus, Command, CommandFailed, Decider, Event, Limits, Rejected, Snapshots, State
from bus.testing.decisions import Decisions
from tests.support.bank import (
    ACCOUNT,
    BANK,
    Account,
    AccountCommand,
    Deposit,
    Deposited,
    Misbehave,
    Open,
    Opened,
    Spoiled,
    Touch,
)


class Add(Command):
    item: str


class Added(Event, tag="added"):
    item: str


class Cart(State):
    items: list[str]
    total: float = 0.0


class SoldOut(Rejected): ...


COUNTER = itertools.count()


def decide(command: Add, cart: Cart) -> Sequence[Added]:
    return [Added(command.item)]


def decide_by_chance(command: Add, cart: Cart) -> Sequence[Added]:
    return [Added(f"{command.item}{next(COUNTER)}")]


def refuse_by_chance(command: Add, cart: Cart) -> Sequence[Added]:
    raise SoldOut("try again", left=next(COUNTER))


def decide_in_place(command: Add, cart: Cart) -> Sequence[Added]:
    cart.items.append(command.item)
    return [Added(command.item)]


def evolve(cart: Cart, event: Added) -> Cart:
    return Cart([*cart.items, event.item])


def evolve_in_place(cart: Cart, event: Added) -> Cart:
    cart.items.append(event.item)
    return cart


def evolve_in_place_later(cart: Cart, event: Added) -> Cart:
    return evolve_in_place(cart, event) if cart.items else evolve(cart, event)


def evolve_by_chance(cart: Cart, event: Added) -> Cart:
    return Cart([event.item, str(next(COUNTER))])


def evolve_to_no_number(cart: Cart, event: Added) -> Cart:
    return Cart(cart.items, float("inf") - float("inf"))


def fold(cart: Cart, events: Sequence[Added]) -> Cart:
    return Cart(cart.items + [event.item for event in events])


def fold_wrongly(cart: Cart, events: Sequence[Added]) -> Cart:
    return Cart([event.item for event in events])


def fold_in_place(cart: Cart, events: Sequence[Added]) -> Cart:
    cart.items.extend([event.item for event in events])
    return Cart(list(cart.items))


Shape = Callable[..., Any]


def decisions(decide: Shape = decide, evolve: Shape = evolve, fold: Shape | None = None) -> Decisions[Cart, Added]:
    cart: Decider[Add, Cart, Added] = Decider(
        category="cart", initial=Cart([]), identify=lambda c: c.item, decide=decide, evolve=evolve, fold=fold
    )
    return Decisions(cart, Limits())


@pytest.mark.parametrize("made", [decisions(), decisions(fold=fold), decisions(evolve=evolve_to_no_number)])
def test_what_is_pure_passes(made: Decisions[Cart, Added]) -> None:
    history, state = made.recover([Added("a"), Added("b")])
    decision = made.decide(Add("c"), state, history)
    assert (decision.stream, decision.events, decision.rejection) == ("cart-c", (Added("c"),), None)
    assert history == (Added("a"), Added("b"))


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (decisions(decide_by_chance), "Add: decide is not pure; for the same command and state its second answer"),
        (decisions(refuse_by_chance), "Add: decide is not pure; for the same command and state its second answer"),
        (decisions(decide_in_place), "Add: decide, evolve or fold changed the state that it was given"),
        (decisions(evolve=evolve_in_place), "Add: decide, evolve or fold changed the state that it was given"),
        (decisions(evolve=evolve_by_chance), "Add: evolve is not pure; called again, it made another state"),
        (decisions(fold=fold_wrongly), "Add: fold makes another state of the events than evolve does"),
        (decisions(fold=fold_in_place), "Add: decide, evolve or fold changed the state that it was given"),
    ],
)
def test_what_is_not_pure_is_found_when_it_decides(made: Decisions[Cart, Added], message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        made.decide(Add("a"), Cart(["before"]), (Added("before"),))


def test_a_fold_that_goes_wrong_from_the_beginning_is_found() -> None:
    def fold_but_not_two(cart: Cart, events: Sequence[Added]) -> Cart:
        return fold(cart, events[:1])

    with pytest.raises(AssertionError, match="fold makes another state"):
        decisions(fold=fold_but_not_two).decide(Add("b"), Cart(["a"]), (Added("a"),))


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (decisions(evolve=evolve_in_place), "evolve or fold changed the state"),
        (decisions(evolve=evolve_in_place_later), "evolve changed the state"),
        (decisions(evolve=evolve_by_chance), "evolve, called again, makes another state"),
        (decisions(fold=fold_in_place), "evolve or fold changed the state"),
        (decisions(fold=lambda cart, events: Cart(["?"])), "fold makes another state"),
    ],
)
def test_what_is_not_pure_is_found_in_the_given_events(made: Decisions[Cart, Added], message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        made.recover([Added("a"), Added("b")])


def test_a_bug_in_evolve_is_found_in_the_given_events() -> None:
    with pytest.raises(CommandFailed, match="ZeroDivisionError: a bug in evolve") as failed:
        Decisions(ACCOUNT, Limits()).recover([Opened(), Spoiled("evolve-raises")])
    assert isinstance(failed.value.__cause__, ZeroDivisionError)


BUGS = [
    Misbehave("a", "raise"),
    Misbehave("a", "cancelled"),
    Misbehave("a", "none"),
    Misbehave("a", "endless"),
    Misbehave("a", "event"),
    Misbehave("a", "foreign"),
    Misbehave("a", "many", 1001),
    Misbehave("a", "note", (1, 2)),
    Misbehave("a", "note", "x" * 2_000_000),
    Misbehave("a", "evolve-none"),
    Misbehave("a", "evolve-raises"),
    Deposit("a", float("nan")),
    Open(""),
    Open("\0"),
    Open(7),  # type: ignore[arg-type]
]


@pytest.mark.parametrize("command", BUGS)
async def test_what_fails_in_the_bus_fails_here_with_the_same_error(command: Command) -> None:
    async with Bus(BANK) as bus:
        await bus.send(Open("a"))
        with pytest.raises(CommandFailed) as there:
            await bus.send(command)
    with pytest.raises(CommandFailed) as here:
        Decisions(ACCOUNT, Limits()).decide(command, Account(True), (Opened(),))
    assert str(here.value) == str(there.value)
    assert here.value.facts == there.value.facts
    assert type(here.value.__cause__) is type(there.value.__cause__)


@pytest.mark.parametrize(
    "command",
    [
        Open("a"),
        Open("b"),
        Deposit("a", 5),
        Deposit("b", 1),
        Touch("a"),
        Misbehave("a", "generator"),
        Misbehave("a", "empty generator"),
    ],
)
async def test_what_the_bus_records_is_recorded_here(command: AccountCommand) -> None:
    async with Bus(BANK) as bus:
        await bus.send(Open("a"))
        (outcome,) = await bus.send_many([command])
    state, history = (Account(True), (Opened(),)) if ACCOUNT.identify(command) == "a" else (Account(), ())
    decision = Decisions(ACCOUNT, Limits()).decide(command, state, history)
    assert getattr(outcome, "events", ()) == decision.events
    assert str(decision.rejection) == (str(outcome) if decision.rejection else "None")


def test_an_event_is_given_as_it_is_read_back() -> None:
    (event,) = Decisions(ACCOUNT, Limits()).decide(Deposit("a", 1), Account(True), ()).events
    assert isinstance(event, Deposited)
    assert isinstance(event.amount, float)


class Basket(State):
    items: list[str]
    last: Any = None


def decide_basket(command: Add, basket: Basket) -> Sequence[Added]:
    return [Added(command.item)]


def evolve_basket(basket: Basket, event: Added) -> Basket:
    return Basket([*basket.items, event.item], () if event.item == "odd" else None)


def test_a_state_of_which_no_snapshot_can_be_kept_is_found_where_snapshots_are_taken() -> None:
    def decisions(snapshots: Snapshots | None) -> Decisions[Any, Any]:
        basket = Decider(
            category="basket",
            initial=Basket([]),
            identify=lambda command: command.item,
            decide=decide_basket,
            evolve=evolve_basket,
            snapshots=snapshots,
        )
        return Decisions(basket, Limits())

    kept = decisions(Snapshots(version=1, every_events=9))
    assert kept.decide(Add("pen"), Basket([]), ()).state == Basket(["pen"])
    with pytest.raises(AssertionError, match="Add: no snapshot can be kept of Basket"):
        kept.decide(Add("odd"), Basket([]), ())
    with pytest.raises(AssertionError, match="decider 'basket': no snapshot can be kept"):
        kept.recover([Added("odd")])
    assert decisions(None).recover([Added("odd")])[1].last == ()
