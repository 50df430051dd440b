"""Caching: a handler's answers are kept where the application says so, and what makes no sense is refused."""

from typing import Any

import pytest

from bus import Application, DefinitionError, Query, View, Views, cached


class Board(View):
    text: str


class GetBoard(Query[list[Board]]): ...


class GetOther(Query[int]): ...


async def get_board(query: GetBoard, views: Views) -> list[Board]: ...


async def get_other(query: GetOther, views: Views) -> int: ...


def get_plainly(query: GetOther, views: Views) -> int: ...


def test_the_application_knows_whose_answers_are_kept_and_how_many() -> None:
    application = Application(query_handlers=[cached(get_board), get_other])
    assert application.answers_max == {GetBoard: 1_000}
    assert application.handler_of == {GetBoard: get_board, GetOther: get_other}
    assert Application(query_handlers=[cached(get_board, answers_max=5)]).answers_max == {GetBoard: 5}


class Desk:
    async def get(self, query: GetOther, views: Views) -> int: ...


def test_a_bound_method_may_be_cached() -> None:
    desk = Desk()
    assert Application(query_handlers=[cached(desk.get)]).handler_of == {GetOther: desk.get}


@pytest.mark.parametrize(
    ("answers_max", "message"),
    [
        (0, "answers_max must be above zero, not 0"),
        (1.5, "answers_max must be a whole number, not 1.5"),
        (True, "answers_max must be a whole number, not True"),
    ],
)
def test_a_bound_that_is_none_is_refused(answers_max: Any, message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        cached(get_board, answers_max=answers_max)


def test_what_is_cached_already_is_refused() -> None:
    twice: Any = cached(get_board)
    with pytest.raises(DefinitionError, match=r"get_board.* is cached already"):
        cached(twice)


@pytest.mark.parametrize(
    ("handler", "message"),
    [
        (get_plainly, "query handler get_plainly must be an async function"),
        (5, "query handler 5 must be a function or a bound method"),
    ],
)
def test_a_handler_that_is_none_is_refused_when_the_application_is_built(handler: Any, message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        Application(query_handlers=[cached(handler)])


def test_two_handlers_of_one_query_are_refused_also_where_one_is_cached() -> None:
    with pytest.raises(DefinitionError, match="there is more than one handler of query GetBoard"):
        Application(query_handlers=[cached(get_board), get_board])
