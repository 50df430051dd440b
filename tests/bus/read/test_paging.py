"""Pages: each begins where the one before ended, by a text that has been anywhere meanwhile."""

import base64
from collections.abc import Sequence
from contextlib import suppress

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bus import (
    STOP,
    Application,
    Bus,
    Cursor,
    InvalidCursor,
    Page,
    Projection,
    Query,
    Views,
    at_least,
)
from tests.support.ledger import ACCOUNT, BALANCES, NOTE, Balance, Close, Deposit


class GetPage(Query[Page[Balance]]):
    order_by: str | None = None
    after: Cursor | None = None
    least: int = 0
    limit: int = 2


async def get_page(query: GetPage, views: Views) -> Page[Balance]:
    return await views.find_page(
        Balance,
        balance=at_least(query.least),
        order_by=query.order_by,
        limit=query.limit,
        after=query.after,
    )


class GetRest(Query[list[Balance]]):
    after: Cursor


async def get_rest(query: GetRest, views: Views) -> list[Balance]:
    return await views.find(Balance, order_by="-balance", after=query.after)


PAGES = Application(deciders=[ACCOUNT, NOTE], projections=[BALANCES], query_handlers=[get_page, get_rest])


async def fill(bus: Bus) -> None:
    for account, amount in {"c": 3, "a": 3, "d": 2, "b": 1, "e": 3}.items():
        receipt = await bus.send(Deposit(account, amount))
    await bus.wait_projected(receipt)


async def visited(bus: Bus, query: GetPage) -> list[str]:
    """The accounts page by page, by queries that were sent as JSON in between."""
    found: list[str] = []
    decode = msgspec.json.Decoder(GetPage).decode
    while True:
        page = await bus.query(query)
        found.append("".join(view.account for view in page.views))
        if page.next is None:
            return found
        query = decode(msgspec.json.encode(msgspec.structs.replace(query, after=page.next)))


@pytest.mark.parametrize(
    ("query", "pages"),
    [
        (GetPage(), ["ab", "cd", "e"]),
        (GetPage("balance"), ["bd", "ac", "e"]),
        (GetPage("-balance"), ["ac", "ed", "b"]),
        (GetPage("-account"), ["ed", "cb", "a"]),
        (GetPage("-balance", least=3, limit=1), ["a", "c", "e"]),
        (GetPage("balance", limit=5), ["bdace"]),
        (GetPage("balance", limit=2**70), ["bdace"]),
        (GetPage("balance", least=9), [""]),
    ],
)
async def test_pages_follow_each_other_and_the_last_one_says_so(query: GetPage, pages: Sequence[str]) -> None:
    async with Bus(PAGES) as bus:
        await fill(bus)
        assert await visited(bus, query) == pages


async def test_what_comes_and_goes_between_two_pages_disturbs_nobody_else() -> None:
    async with Bus(PAGES) as bus:
        await fill(bus)
        first = await bus.query(GetPage("-balance"))
        assert [view.account for view in first.views] == ["a", "c"]
        # The cursor's own view goes, one comes before its place and one after it, and one moves behind it.
        await bus.send_many([Close("c"), Deposit("f", 9), Deposit("g", 1)])
        receipt = await bus.send(Deposit("a", -1))
        second = await bus.query(GetPage("-balance", first.next, limit=9), after=receipt)
        assert [view.account for view in second.views] == ["e", "a", "d", "b", "g"]


async def test_find_goes_on_after_a_cursor_too() -> None:
    async with Bus(PAGES) as bus:
        await fill(bus)
        after = (await bus.query(GetPage("-balance", limit=3))).next
        assert after is not None
        assert [view.account for view in await bus.query(GetRest(after))] == ["d", "b"]


async def test_a_cursor_of_another_order_or_of_other_views_is_refused() -> None:
    async with Bus(PAGES) as bus:
        await fill(bus)
        after = (await bus.query(GetPage("balance"))).next
        for order_by in ("-balance", "account", None):
            with pytest.raises(InvalidCursor, match="in the order 'balance', not of 'balances' in the order"):
                await bus.query(GetPage(order_by, after))
        renamed = Projection(
            name="others",
            version=1,
            view=BALANCES.view,
            project=BALANCES.project,
            key=BALANCES.key,
            indexes=BALANCES.indexes,
            on_poison=STOP,
        )
        application = Application(deciders=[ACCOUNT, NOTE], projections=[renamed], query_handlers=[get_page])
        async with Bus(application) as another:
            with pytest.raises(InvalidCursor, match="the cursor is of 'balances'"):
                await another.query(GetPage("balance", after))


async def test_a_cursor_is_letters_digits_and_two_signs_that_a_url_leaves_alone() -> None:
    async with Bus(PAGES) as bus:
        for number in range(64):
            await bus.send(Deposit(f"é?&=/{number}", number))
        await bus.wait_settled()
        after = None
        while (page := await bus.query(GetPage("balance", after, limit=1))).next is not None:
            after = page.next
            assert set(after) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def packed(*parts: object) -> str:
    return base64.urlsafe_b64encode(msgspec.msgpack.encode(parts)).rstrip(b"=").decode()


GOOD = packed(1, "balances", "balance", 3, "c")


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "=", "é", "\0", "\ud800", "a" * 100_000, GOOD + "=", GOOD[:-1], GOOD + "A", f" {GOOD}", GOOD + "\n"),
        packed(),
        packed(2, "balances", "balance", 3, "c"),
        packed(1, "balances", "balance", 3, "c", "more"),
        packed(1, "balances", "balance", True, "c"),
        packed(1, "balances", "balance", [3], "c"),
        packed(1, "balances", "balance", 2**64 - 1, "c"),
        packed(1, "balances", "balance", float("nan"), "c"),
        packed(1, "balances", "balance", "a\0", "c"),
        packed(1, "balances", "balance", 3, "c\0"),
        packed(1, "balances", "balance", 3, None),
    ],
)
async def test_a_text_that_is_no_cursor_is_refused(text: str) -> None:
    async with Bus(PAGES) as bus:
        await fill(bus)
        assert (await bus.query(GetPage("balance", Cursor(GOOD)))).views
        with pytest.raises(InvalidCursor, match="is no cursor of this release"):
            await bus.query(GetPage("balance", Cursor(text)))


@given(st.text() | st.binary().map(lambda some: base64.urlsafe_b64encode(some).rstrip(b"=").decode()))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(GOOD)
async def test_whatever_comes_as_a_cursor_is_one_or_is_refused(text: str) -> None:
    async with Bus(PAGES) as bus:
        with suppress(InvalidCursor):
            assert await bus.query(GetPage("balance", Cursor(text))) == Page((), None)
