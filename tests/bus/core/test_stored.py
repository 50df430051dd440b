"""What no store can hold: texts that databases refuse, wherever in an entry or a view they are."""

import msgspec
import pytest

from bus.core.stored import Append, NewEvent, StoredView, entry_fault, text_fault, view_fault, views_fault

ENTRY = Append("a-1", 0, (NewEvent("one", b"\0"), NewEvent("two", b"\xff")), "c1", b"\0", "talk", "why", "00-1")


@pytest.mark.parametrize("text", ["", "plain", "naïve 日本 😀", "tab\tline\n\x01\x7f"])
def test_texts_that_are_unicode_can_be_held(text: str) -> None:
    assert text_fault(text) is None
    assert entry_fault(msgspec.structs.replace(ENTRY, correlation_id=text)) is None
    assert view_fault(StoredView(text, b"", (text, None, 1, 1.5))) is None
    assert views_fault([StoredView("key", b"", (None, 1)), StoredView(text, b"", (text, 1.5))]) is None


@pytest.mark.parametrize(("text", "why"), [("a\0b", "NUL"), ("é\0", "NUL"), ("\ud800", "surrogate")])
def test_other_texts_cannot(text: str, why: str) -> None:
    assert why in (text_fault(text) or "")
    for field in ("stream", "command_id", "correlation_id", "causation_id", "traceparent"):
        assert why in (entry_fault(msgspec.structs.replace(ENTRY, **{field: text})) or "")
    events = (NewEvent("one", b""), NewEvent(text, b""))
    assert why in (entry_fault(msgspec.structs.replace(ENTRY, events=events)) or "")
    assert why in (view_fault(StoredView(text, b"")) or "")
    assert why in (view_fault(StoredView("key", b"", (1, text))) or "")
    assert why in (views_fault([StoredView("key", b""), StoredView(text, b"")]) or "")
    assert why in (views_fault([StoredView("key", b"", (1, "x")), StoredView("other", b"", (1, text))]) or "")


def test_no_views_have_no_fault() -> None:
    assert views_fault([]) is None
