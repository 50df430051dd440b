"""Folding: what a projection's functions may return, and at which event they are blamed for what they may not."""

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest

from bus import REMOVED, STOP, Event, Limits, Projection, Recorded, View
from bus.read.folding import Folded, Folding, Poisoned, StaleShape

NOON = datetime(2013, 1, 1, 12, tzinfo=UTC)


class Noted(Event, tag="noted"):
    text: str


class Row(View):
    text: str
    count: float = 0.0
    number: int = 0


def last_text(view: Row | None, recorded: Recorded[Noted], key: str) -> Row:
    return Row(recorded.event.text, (view.count if view else 0) + 1)


def by_stream(recorded: Recorded[Noted]) -> str:
    return recorded.stream_id


def folding(project: Any = last_text, key: Callable[[Recorded[Noted]], Any] = by_stream, **limits: int) -> Folding:
    projection: Projection[Row, Noted] = Projection(
        name="rows", version=1, view=Row, project=last_text, key=key, indexes=("text", "number"), on_poison=STOP
    )
    # Past the check of annotations, as a function that breaks its own promise is.
    object.__setattr__(projection, "project", project)
    return Folding(projection, Limits(**limits))


def noted(*texts: str, stream_id: str = "1") -> list[Recorded[Event]]:
    return [
        Recorded(
            event=Noted(text),
            stream=f"note-{stream_id}",
            stream_id=stream_id,
            version=position,
            position=position,
            recorded_at=NOON,
            command_id=f"c{position}",
            correlation_id=f"c{position}",
        )
        for position, text in enumerate(texts, 1)
    ]


def fold(one: Folding, events: list[Recorded[Event]], stored: dict[str, bytes] | None = None) -> Folded:
    touches = one.touches(events)
    one.remember(one.missing(touches), stored or {})
    return one.fold(touches)


def blamed(one: Folding, events: list[Recorded[Event]]) -> Poisoned:
    with pytest.raises(Poisoned) as caught:
        fold(one, events)
    return caught.value


def test_the_event_that_made_a_view_what_cannot_be_kept_is_found_by_halves() -> None:
    one = folding(lambda view, recorded, key: Row("", float("nan") if recorded.position >= 30 else 0.0))
    sound, until, steps = 0, 100, 0
    while until > sound:
        steps += 1
        with suppress(Poisoned):
            fold(one, noted(*"x" * 100)[sound:until])
            sound, until = until, 100
            continue
        poison = blamed(one, noted(*"x" * 100)[sound:until])
        assert poison.is_found == (until == sound + 1)
        if poison.is_found:
            break
        until = poison.position - 1
    assert (sound, steps < 30) == (29, True)


def test_events_are_folded_in_order_onto_what_is_stored() -> None:
    folded = fold(folding(), noted("a", "b"), {"1": b'{"text": "old", "count": 5}'})
    assert folded.views == {"1": Row("b", 7.0)}
    assert [(row.key, row.index_values) for row in folded.put] == [("1", ("b", 0))]
    assert folded.removed == ()


def test_what_was_committed_is_not_read_again_and_what_was_not_is_forgotten_by_the_next_fold() -> None:
    one = folding()
    folded = fold(one, noted("a"))
    assert fold(one, noted("b")).views == {"1": Row("b", 1.0)}
    one.commit(folded)
    assert one.missing(one.touches(noted("b"))) == []
    assert fold(one, noted("b")).views == {"1": Row("b", 2.0)}
    one.forget()
    assert one.missing(one.touches(noted("b"))) == ["1"]


def test_the_least_recently_written_views_are_forgotten_beyond_the_limit() -> None:
    one = folding(cached_views_max=2)
    for stream_id in ("a", "b", "a", "c"):
        one.commit(fold(one, noted("x", stream_id=stream_id)))
    missing = [key for key in ("a", "b", "c") if one.missing(one.touches(noted("x", stream_id=key)))]
    assert missing == ["b"]


def test_a_tuple_of_keys_touches_each_view_and_an_empty_one_none() -> None:
    def keys(recorded: Recorded[Noted]) -> tuple[str, ...]:
        return tuple(recorded.event.text)

    folded = fold(folding(key=keys), noted("ab", "", "b"))
    assert folded.views == {"a": Row("ab", 1.0), "b": Row("b", 2.0)}


def test_removed_removes_and_the_next_event_begins_anew() -> None:
    def project(view: Row | None, recorded: Recorded[Noted], key: str) -> object:
        return REMOVED if recorded.event.text == "end" else last_text(view, recorded, key)

    stored = {"1": b'{"text": "old", "count": 5}'}
    removed = fold(folding(project), noted("a", "end"), stored)
    assert (removed.put, removed.removed) == ((), ("1",))
    again = fold(folding(project), noted("a", "end", "b"), stored)
    assert again.views == {"1": Row("b", 1.0)}
    assert again.removed == ()


@pytest.mark.parametrize(
    ("returned", "why"),
    [
        (None, "neither a text nor a tuple"),
        (False, "neither a text nor a tuple"),
        ([], "neither a text nor a tuple"),
        (["a"], "neither a text nor a tuple"),
        (7, "neither a text nor a tuple"),
        ("", "empty"),
        (("a", ""), "empty"),
        ("nul\0", "NUL"),
        ("surrogate\ud800", "surrogate"),
        ("x" * 201, "201 bytes"),
        (("a", 7), "of type int"),
        (([],), "of type list"),
        (("a", ["b"]), "of type list"),
        (("a", "b", "a"), "twice"),
        (("a", "b", "c", "d"), "event_keys_max"),
    ],
)
def test_a_key_that_is_none_is_poison_at_its_event(returned: object, why: str) -> None:
    one = folding(key=lambda recorded: returned if recorded.event.text == "bad" else "good", event_keys_max=3)
    poison = blamed(one, noted("a", "bad", "b"))
    assert poison.position == 2
    assert why in str(poison)


def test_a_key_function_that_raises_is_poison_at_its_event_with_its_cause() -> None:
    def key(recorded: Recorded[Noted]) -> str:
        return {"a": "good"}[recorded.event.text]

    poison = blamed(folding(key=key), noted("a", "bad", "b"))
    assert poison.position == 2
    assert isinstance(poison.__cause__, KeyError)


class Wider(Row):
    more: int = 0


@pytest.mark.parametrize(
    ("returned", "why"),
    [
        (None, "neither a Row nor REMOVED"),
        ({"text": "x"}, "neither a Row nor REMOVED"),
        (Row, "neither a Row nor REMOVED"),
        (Wider("x"), "read back differently"),
        (Row("x", float("nan")), "ValidationError"),
        (Row(7), "ValidationError"),  # type: ignore[arg-type]
        (Row("x", number=1.5), "ValidationError"),  # type: ignore[arg-type]
        (Row("x", number=2**63), "64 bits"),
        (Row("x", number=-(2**63) - 1), "64 bits"),
        (Row("surrogate\ud800"), "UnicodeEncodeError"),
        (Row("nul\0"), "NUL"),
        (Row("x", object()), "TypeError"),  # type: ignore[arg-type]
    ],
)
def test_a_view_that_cannot_be_kept_is_poison_at_the_event_that_made_it(returned: object, why: str) -> None:
    def project(view: Row | None, recorded: Recorded[Noted], key: str) -> object:
        return returned if recorded.event.text == "bad" else last_text(view, recorded, key)

    poison = blamed(folding(project), noted("a", "bad"))
    assert poison.position == 2
    assert why in str(poison)


def test_a_projection_is_given_what_a_restart_would_give_it() -> None:
    seen: list[str] = []

    def project(view: Row | None, recorded: Recorded[Noted], key: str) -> Row:
        seen.append(repr(view.count) if view else "")
        return Row("x", 1)

    live, restarted = folding(project), folding(project)
    folded = fold(live, noted("a"))
    live.commit(folded)
    fold(live, noted("b"))
    fold(restarted, noted("b"), {"1": folded.put[0].payload})
    assert seen == ["", "1.0", "1.0"]


@pytest.mark.parametrize("payload", [b'{"txt": "old"}', b'{"text": "\xff"}', b"[" * 100_000, b""])
def test_a_stored_view_of_another_shape_or_none_names_the_cure(payload: bytes) -> None:
    with pytest.raises(StaleShape, match="version"):
        fold(folding(), noted("a"), {"1": payload})
