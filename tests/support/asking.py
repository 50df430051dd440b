"""A query that each test answers with a function of its own."""

from collections.abc import Awaitable, Callable
from typing import Any

from bus import (
    Application,
    Query,
    Views,
)
from tests.support.ledger import (
    ACCOUNT,
    BALANCES,
    JOURNAL,
    NOTE,
    NOTES,
)


class Ask(Query[Any]):
    """Answered by whatever function the test gives."""

    text: str = ""


class Asked:
    """A handler that is a bound method, as handlers with dependencies are."""

    def __init__(self, function: Callable[[Ask, Views], Awaitable[Any]]) -> None:
        self._function = function
        self.runs = 0

    async def handle(self, query: Ask, views: Views) -> Any:
        self.runs += 1
        return await self._function(query, views)


def asking(function: Callable[[Ask, Views], Awaitable[Any]]) -> tuple[Application, Asked]:
    asked = Asked(function)
    application = Application(
        deciders=[ACCOUNT, NOTE], projections=[BALANCES, JOURNAL, NOTES], query_handlers=[asked.handle]
    )
    return application, asked
