"""Limits: each is finite and above zero; what is not is refused."""

from typing import Any

import pytest

from bus import Limits


@pytest.mark.parametrize("name", Limits.__struct_fields__)
@pytest.mark.parametrize("value", [0, -1, -0.5, float("nan")])
def test_a_limit_is_above_zero(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"Limits\.{name} must be above zero"):
        Limits(**{name: value})


@pytest.mark.parametrize(
    ("limits", "kind"),
    [
        ({"residents_max": "5"}, "a number"),
        ({"residents_max": None}, "a number"),
        ({"residents_max": True}, "a number"),
        ({"residents_max": 1.5}, "a whole number"),
    ],
)
def test_a_limit_is_a_number_and_a_count_is_a_whole_one(limits: dict[str, Any], kind: str) -> None:
    with pytest.raises(TypeError, match=rf"Limits\.residents_max must be {kind}, not"):
        Limits(**limits)


def test_limits_do_not_change() -> None:
    limits: Any = Limits()
    with pytest.raises(AttributeError):
        limits.idle_timeout_s = 5


def test_an_unknown_limit_is_refused() -> None:
    with pytest.raises(TypeError, match="idle_timeout_ms"):
        Limits(idle_timeout_ms=5)  # type: ignore[call-arg]
