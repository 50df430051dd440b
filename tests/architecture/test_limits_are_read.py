"""Every setting does something: each field of `Limits` is read by the code that it bounds."""

import ast

import pytest

from bus.core.limits import Limits
from tests.architecture import tree


def _read() -> set[str]:
    return {
        node.attr
        for path in tree.modules(*tree.SHIPPED)
        if path.name != "limits.py"
        for node in ast.walk(tree.parsed(path))
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)
    }


@pytest.mark.parametrize("name", Limits.__struct_fields__)
def test_a_limit_is_read(name: str) -> None:
    assert name in _read(), f"nothing in bus or adapters reads Limits.{name}"


def test_every_limit_is_finite() -> None:
    limits = Limits()
    for name in Limits.__struct_fields__:
        assert 0 < getattr(limits, name) < float("inf")
