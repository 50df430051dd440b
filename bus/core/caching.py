"""Caching: says of a query handler that its answers are kept for as long as the views they were read from."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from bus.core.errors import DefinitionError
from bus.core.messages import Query, Views

Q = TypeVar("Q", bound=Query[Any])

ANSWERS_MAX = 1_000


@dataclass(frozen=True)
class Cached:
    """A query handler, and how many of its answers are kept."""

    handler: Callable[..., Any]
    answers_max: int = ANSWERS_MAX

    def __post_init__(self) -> None:
        if isinstance(self.handler, Cached):
            raise DefinitionError(f"cached: {self.handler.handler!r} is cached already")
        if isinstance(self.answers_max, bool) or not isinstance(self.answers_max, int):
            raise DefinitionError(f"cached: answers_max must be a whole number, not {self.answers_max!r}")
        if self.answers_max < 1:
            raise DefinitionError(f"cached: answers_max must be above zero, not {self.answers_max}")


def cached(handler: Callable[[Q, Views], Coroutine[Any, Any, object]], *, answers_max: int = ANSWERS_MAX) -> Cached:
    """Keeps up to `answers_max` answers of this handler, by the query's value, those used last.

    For `Application(query_handlers=[cached(departures)])`. An answer is dropped when a projection changes a view that
    it was read from, and by nothing else: so the handler's answer must follow from the query and the views alone.
    Whoever asks gets a copy, in so far as it could be changed.
    """
    return Cached(handler, answers_max)
