"""Errors: codes, facts and words, also of a copy and on the far side of a pickle."""

import copy
import pickle
from typing import Any

import pytest

from bus import BusError, NotRecorded, Rejected, VersionConflict
from bus.core import errors


class NotBoarding(Rejected):
    pass


class HTTPTooLate(NotBoarding):
    pass


class Coded(Rejected):
    code = "rejected.by-hand"


class WithParameters(Rejected):
    def __init__(self, flight: str, *, gate: int) -> None:
        super().__init__(f"{flight} has left gate {gate}", flight=flight)
        self.gate = gate


class WithoutSuper(Rejected):
    def __init__(self, flight: str) -> None:
        self.flight = flight


ALL: list[type[BusError]] = sorted(
    (kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, BusError)),
    key=lambda kind: kind.__name__,
)


def test_a_rejection_has_its_code_and_its_words_from_its_name() -> None:
    assert NotBoarding.code == "rejected.not-boarding"
    assert HTTPTooLate.code == "rejected.http-too-late"
    assert Coded.code == "rejected.by-hand"
    assert str(NotBoarding()) == "not boarding"
    assert str(NotBoarding("the gate is closed")) == "the gate is closed"
    assert str(Rejected()) == "rejected"


def test_facts_are_attributes() -> None:
    error = VersionConflict("no", stream="a-1", expected=1, actual=2)
    assert (error.stream, error.expected, error.actual) == ("a-1", 1, 2)
    assert error.facts == {"stream": "a-1", "expected": 1, "actual": 2}


@pytest.mark.parametrize("name", ["code", "facts", "copy", "args", "__class__", "with_traceback"])
def test_a_fact_does_not_replace_what_an_error_has_by_itself(name: str) -> None:
    error = NotBoarding("no", **{name: "EWR"})
    assert error.code == "rejected.not-boarding"
    assert error.facts == {name: "EWR"}
    assert error.args == ("no",)
    assert error.copy().facts == {name: "EWR"}


def test_a_fact_may_be_called_message() -> None:
    assert NotBoarding("no", message="EWR").facts == {"message": "EWR"}


@pytest.mark.parametrize("way", ["copy", "pickle", "copy module"])
@pytest.mark.parametrize("kind", [*ALL, NotBoarding], ids=lambda kind: kind.__name__)
def test_an_error_survives_being_copied(kind: type[BusError], way: str) -> None:
    error = kind("what to do", stream="a-1", position=5)
    error.__cause__ = ZeroDivisionError("the cause")
    other = _copied(error, way)
    assert type(other) is kind
    assert other is not error
    assert str(other) == "what to do"
    assert other.facts == {"stream": "a-1", "position": 5}
    assert (getattr(other, "stream", None), getattr(other, "position", None)) == ("a-1", 5)
    assert other.code == kind.code
    assert isinstance(other.__cause__, ZeroDivisionError)
    assert other.__traceback__ is None


@pytest.mark.parametrize("way", ["copy", "pickle", "copy module"])
def test_an_error_with_parameters_of_its_own_survives_being_copied(way: str) -> None:
    other = _copied(WithParameters("UA-1545", gate=5), way)
    assert (other.flight, other.gate, str(other)) == ("UA-1545", 5, "UA-1545 has left gate 5")
    other = _copied(WithoutSuper("UA-1545"), way)
    assert (other.flight, str(other), other.facts) == ("UA-1545", "UA-1545", {})


def _copied(error: BusError, way: str) -> Any:
    if way == "copy":
        return error.copy()
    return pickle.loads(pickle.dumps(error)) if way == "pickle" else copy.copy(error)


def test_every_error_answers_the_question_whether_it_happened() -> None:
    answers = {"Rejected", "NotRecorded", "OutcomeUnknown", "NotProjected", "QueryError", "Unreadable", "Unusable"}
    outside = {"BusError", "NotSettled"}
    for kind in ALL:
        families = {parent.__name__ for parent in kind.__mro__} & answers
        assert len(families) == (0 if kind.__name__ in outside else 1), kind


def test_every_error_says_what_it_means() -> None:
    assert all(kind.__doc__ for kind in ALL)
    assert issubclass(VersionConflict, NotRecorded)
