"""What may be asked of views beside whoever projects them: dead letters, and requests."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from adapters.postgres.letters import (
    ANSWER,
    ASK,
    ASKED,
    FORGET,
    LETTERS,
    LETTERS_OF_KEY,
    PARKED_KEYS,
    REQUESTS,
    letters_of,
    requests_of,
    text_of,
)
from adapters.postgres.view_tables import Table
from bus.core.letters import DeadLetter, Request
from bus.core.stored import ViewTable, text_fault


class Desk(ABC):
    """That part of a view store."""

    @abstractmethod
    async def _fetch(self, query: str, *parameters: object) -> list[Any]: ...

    @abstractmethod
    def _table(self, table: ViewTable) -> Table: ...

    @abstractmethod
    def _check_writable(self) -> None: ...

    @abstractmethod
    def _changed(self) -> None: ...

    async def parked(self, table: ViewTable) -> Mapping[str, int]:
        return dict([tuple(row) for row in await self._fetch(PARKED_KEYS, self._table(table).key)])

    async def letters(
        self, table: ViewTable, key: str | None = None, *, after: tuple[int, str] = (0, ""), limit: int
    ) -> Sequence[DeadLetter]:
        if key is None:
            return letters_of(table, await self._fetch(LETTERS, self._table(table).key, *after, limit))
        if text_fault(key) is not None:
            return []
        return letters_of(table, await self._fetch(LETTERS_OF_KEY, self._table(table).key, *after, limit, key))

    async def ask(self, request: Request) -> None:
        self._check_writable()
        await self._fetch(ASK, request.id, text_of(request))
        await self._fetch(FORGET)
        self._changed()

    async def requests(self, *, is_open: bool, limit: int) -> Sequence[Request]:
        return requests_of(await self._fetch(REQUESTS, is_open, limit))

    async def asked(self, request_id: str) -> Request | None:
        found = requests_of(await self._fetch(ASKED, request_id))
        return found[0] if found else None

    async def answer(self, request: Request) -> None:
        self._check_writable()
        await self._fetch(ANSWER, request.id, text_of(request))
