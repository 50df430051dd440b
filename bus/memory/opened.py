"""What the stores in memory share: who may use them, and when."""

from types import TracebackType
from typing import Self

from bus.core.errors import StoreInUse, StoreUnavailable


class Opened:
    """What both stores share: they are used inside `async with`, by one bus at a time, and keep their content."""

    url = "memory:"
    shared = False

    def __init__(self) -> None:
        self._users = 0

    async def __aenter__(self) -> Self:
        if self._users and not self.shared:
            raise StoreInUse(f"another bus uses this {type(self).__name__}: close it first", store=self.url)
        self._users += 1
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self._users -= 1

    def check_open(self) -> None:
        if not self._users:
            raise StoreUnavailable(
                f"this {type(self).__name__} is not open: use it inside `async with`", store=self.url
            )
