"""Limits: each is finite and above zero; what is not is refused."""

from typing import Any

import pytest

from bus import Limits


@pytest.mark.parametrize("name", Limits.__struct_fields__)
@pytest.mark.parametrize("value", [0, -1, -0.5, float("nan")])
def test_a_limit_is_above_zero(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"Limits\.{name} must be above zero"):
        Limits(**{name: value})


def test_limits_do_not_change() -> None:
    limits: Any = Limits()
    with pytest.raises(AttributeError):
        limits.idle_timeout_s = 5


def test_an_unknown_limit_is_refused() -> None:
    with pytest.raises(TypeError, match="idle_timeout_ms"):
        Limits(idle_timeout_ms=5)  # type: ignore[call-arg]
