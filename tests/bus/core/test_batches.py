"""BatchProjection: what its annotations say is checked when it is built."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytest

from bus import Application, BatchProjection, DefinitionError, Event, Query, Recorded, Transaction, Views
from bus.core.projection import STOP
from bus.core.stored import ViewTable, table_of
from tests.support.ledger import ACCOUNT, NOTE, Closed, Deposited, NoteWritten
from tests.support.lines import GetLines, LineEvent, handle, lines, set_up


class GetNothing(Query[int]): ...


async def get_nothing(query: GetNothing, views: Views) -> int:
    return 0


async def get_lines(query: GetLines, views: Views) -> list[tuple[int, str, int]]:
    return []


async def one_event(batch: Iterable[Recorded[NoteWritten]], transaction: Transaction) -> None: ...


def test_the_events_are_those_of_the_annotation() -> None:
    projection = lines()
    assert projection.events == (Deposited, Closed, NoteWritten)
    assert (projection.on_poison, projection.indexes) == (STOP, ())
    assert table_of(projection) == ViewTable("lines", 1)
    assert lines(one_event).events == (NoteWritten,)  # type: ignore[arg-type]


def plain(batch: Sequence[Recorded[LineEvent]], transaction: Transaction) -> None: ...


async def no_batch(transaction: Transaction) -> None: ...


async def other_transaction(batch: Sequence[Recorded[LineEvent]], transaction: object) -> None: ...


async def a_list(batch: list[Recorded[LineEvent]], transaction: Transaction) -> None: ...


async def bare_events(batch: Sequence[LineEvent], transaction: Transaction) -> None: ...


async def any_event(batch: Sequence[Recorded[Event]], transaction: Transaction) -> None: ...


async def bare(batch: Sequence, transaction: Transaction) -> None: ...  # type: ignore[type-arg]


async def answering(batch: Sequence[Recorded[LineEvent]], transaction: Transaction) -> int:
    return 1


async def unannotated(batch, transaction) -> None: ...  # type: ignore[no-untyped-def]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (plain, "handle must be an async function"),
        (no_batch, r"handle must take \(batch, transaction: Transaction\)"),
        (other_transaction, r"handle must take \(batch, transaction: Transaction\)"),
        (a_list, r"handle takes Sequence\[Recorded\[...\]\]"),
        (bare_events, r"handle takes Sequence\[Recorded\[...\]\]"),
        (bare, r"handle takes Sequence\[Recorded\[...\]\]"),
        (any_event, "handle's event must be a subclass of Event"),
        (answering, "handle must return None"),
        (unannotated, "lacks the annotation of batch, transaction"),
        (7, "must be a function"),
    ],
)
def test_a_handle_that_cannot_work_is_refused(wrong: Any, message: str) -> None:
    with pytest.raises(DefinitionError, match=f"batch projection 'lines': .*{message}"):
        lines(wrong)


async def setup_of_two(transaction: Transaction, more: int) -> None: ...


def plain_setup(transaction: Transaction) -> None: ...


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"name": "Lines"}, "a name is lower case words"),
        ({"version": 0}, "versions are 1, 2, 3"),
        ({"answers": GetLines}, "answers must be a tuple of subclasses of Query"),
        ({"answers": (Query,)}, "answers must be a tuple of subclasses of Query"),
        ({"answers": (get_lines,)}, "answers must be a tuple of subclasses of Query"),
        ({"setup": setup_of_two}, r"setup must take \(transaction: Transaction\)"),
        ({"setup": plain_setup}, "setup must be an async function"),
    ],
)
def test_what_cannot_work_is_refused(changed: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {"name": "lines", "version": 1, "handle": handle, "setup": set_up, "answers": ()}
    with pytest.raises(DefinitionError, match=message):
        BatchProjection(**(given | changed))


def application(*projections: Any, handlers: Sequence[Callable[..., Any]] = (get_lines,)) -> Application:
    return Application(deciders=[ACCOUNT, NOTE], projections=projections, query_handlers=handlers)


def test_an_application_knows_which_queries_read_which_tables() -> None:
    other = BatchProjection(name="other", version=1, handle=handle, setup=set_up, answers=(GetLines, GetNothing))
    found = application(lines(), other, handlers=[get_lines, get_nothing])
    assert dict(found.batches_of) == {GetLines: ("lines", "other"), GetNothing: ("other",)}
    assert found.view_projections == []
    assert found.batch_projections == [found.projections[0], other]


def test_a_query_that_nobody_answers_is_refused() -> None:
    with pytest.raises(DefinitionError, match="batch projection 'lines' answers GetLines, which has no handler"):
        application(lines(), handlers=[get_nothing])


def test_a_batch_projection_shares_its_name_with_no_other() -> None:
    with pytest.raises(DefinitionError, match="more than one projection lines"):
        application(lines(), lines(version=2))
