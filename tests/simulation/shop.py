"""Shop: a small application whose every answer depends on what came before; what the simulator runs on."""

from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Any, TypeAlias

from bus import (
    PARK,
    REMOVED,
    STOP,
    Application,
    Command,
    Decider,
    Event,
    Projection,
    Query,
    Recorded,
    Rejected,
    Removed,
    State,
    View,
    Views,
    cached,
)


class Stock(Command):
    item: str
    count: int
    in_boxes: bool = False
    """Each piece an event of its own."""


class Sell(Command):
    item: str
    count: int


class Check(Command):
    """Records nothing."""

    item: str


class Discontinue(Command):
    item: str


class Stocked(Event, tag="stocked"):
    count: int


class Sold(Event, tag="sold"):
    count: int
    left: int


class Discontinued(Event, tag="discontinued"): ...


ItemCommand: TypeAlias = Stock | Sell | Check | Discontinue
ItemEvent: TypeAlias = Stocked | Sold | Discontinued


class SoldOut(Rejected): ...


class NotForSale(Rejected): ...


class Item(State):
    left: int = 0
    is_discontinued: bool = False


def decide(command: ItemCommand, item: Item) -> Sequence[ItemEvent]:
    match command:
        case Check():
            return ()
        case Discontinue():
            return () if item.is_discontinued else [Discontinued()]
        case _ if item.is_discontinued and isinstance(command, Sell):
            raise NotForSale("it is not sold any more")
        case Stock(_, count, in_boxes):
            return [Stocked(1)] * count if in_boxes else [Stocked(count)]
        case Sell(_, count):
            if count > item.left:
                raise SoldOut("there are too few", left=item.left)
            return [Sold(count, item.left - count)]


def evolve(item: Item, event: ItemEvent) -> Item:
    match event:
        case Stocked(count):
            return Item(item.left + count)
        case Sold(_, left):
            return Item(left, item.is_discontinued)
        case Discontinued():
            return Item(item.left, True)


ITEM = Decider(category="item", initial=Item(), identify=lambda c: c.item, decide=decide, evolve=evolve)


class Shelf(View):
    item: str
    left: int
    events: int


def project_shelf(view: Shelf | None, recorded: Recorded[ItemEvent], key: str) -> Shelf | Removed:
    left, events = (view.left, view.events) if view is not None else (0, 0)
    match recorded.event:
        case Stocked(count):
            return Shelf(key, left + count, events + 1)
        case Sold(count):
            return Shelf(key, left - count, events + 1)
        case Discontinued():
            return REMOVED


class Till(View):
    sales: int
    pieces: int


def project_till(view: Till | None, recorded: Recorded[Sold], key: str) -> Till:
    sales, pieces = (view.sales, view.pieces) if view is not None else (0, 0)
    return Till(sales + 1, pieces + recorded.event.count)


SHELVES = Projection(
    name="shelves",
    version=1,
    view=Shelf,
    project=project_shelf,
    key=lambda one: one.stream_id,
    indexes=("left",),
    on_poison=STOP,
)
TILL = Projection(
    name="till", version=1, view=Till, project=project_till, key=lambda one: ("all", one.stream_id), on_poison=STOP
)


class GetShelves(Query[list[Shelf]]): ...


class GetTill(Query[Till | None]): ...


class GetShelf(Query[Shelf | None]):
    item: str


async def get_shelves(query: GetShelves, views: Views) -> list[Shelf]:
    return await views.find(Shelf, order_by="-left")


async def get_till(query: GetTill, views: Views) -> Till | None:
    till = await views.get(Till, "all")
    await views.find(Shelf, limit=1)
    return till


async def get_shelf(query: GetShelf, views: Views) -> Shelf | None:
    return await views.get(Shelf, query.item)


SHOP = Application(deciders=[ITEM], projections=[SHELVES, TILL], query_handlers=[get_shelves, get_till])


PARKING_SHOP = Application(
    deciders=[ITEM],
    projections=[replace(SHELVES, on_poison=PARK), replace(TILL, on_poison=PARK)],
    query_handlers=[get_shelves, get_till],
)
"""The same, in which one item's trouble is no other's."""


CACHING_SHOP = Application(
    deciders=[ITEM],
    projections=[SHELVES, TILL],
    query_handlers=[cached(get_shelves, answers_max=1), cached(get_till), cached(get_shelf, answers_max=2)],
)
"""The same, whose answers are kept."""

CACHING_PARKING_SHOP = replace(CACHING_SHOP, projections=PARKING_SHOP.projections)


def looking(chance: Random) -> Command | Query[Any]:
    """More looking than buying, three items at a time or one."""
    drawn = chance.random()
    if drawn < 0.3:
        return GetShelf(chance.choice("abc"))
    if drawn < 0.5:
        return GetShelves() if drawn < 0.4 else GetTill()
    while isinstance(message := shopping(chance), Query):
        pass
    return message


def shopping(chance: Random) -> Command | Query[Any]:
    """More selling than there is to sell."""
    item = chance.choice("abc")
    drawn = chance.random()
    if drawn < 0.3:
        return Stock(item, chance.randint(1, 3), chance.random() < 0.3)
    if drawn < 0.7:
        return Sell(item, chance.randint(1, 3))
    if drawn < 0.8:
        return Check(item)
    if drawn < 0.85:
        return Discontinue(item)
    return GetShelves() if drawn < 0.93 else GetTill()


def project_shelf_anew(view: Shelf | None, recorded: Recorded[ItemEvent], key: str) -> Shelf | Removed:
    """As the next release does: each event counts twice, so that its views are told apart."""
    after = project_shelf(view, recorded, key)
    if after is REMOVED or isinstance(after, Removed):
        return REMOVED
    return Shelf(after.item, after.left, (0 if view is None else view.events) + 2)


def raised(earlier: Application) -> Application:
    """The shop of the next release, whose shelves are built beside those before."""
    (shelves, till) = earlier.view_projections
    raised = replace(shelves, version=2, project=project_shelf_anew, previous=shelves)
    return replace(earlier, projections=[raised, till])


RAISED_SHOP = raised(SHOP)
RAISED_PARKING_SHOP = raised(PARKING_SHOP)
RAISED_CACHING_SHOP = raised(CACHING_SHOP)
RAISED_CACHING_PARKING_SHOP = raised(CACHING_PARKING_SHOP)
