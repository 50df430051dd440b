"""Who may see whom, in the finer points that the import contracts in pyproject.toml cannot say."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture import tree

FIRST_PARTY = frozenset({"bus", "adapters", "domain", "readmodels", "bench", "tests"})

SEES = {
    "bus/core": ("bus.core",),
    "domain": ("bus.core", "domain"),
    "readmodels": ("bus.core", "domain", "readmodels"),
    "adapters/sqlite": ("bus.core", "bus.ports", "adapters.sqlite"),
    "adapters/postgres": ("bus.core", "bus.ports", "adapters.postgres"),
}
"""All that a package may import of this tree; other packages are bound by the contracts alone."""

DOORS = {"adapters/cli": ("bus.core",), "adapters/flights": ("bus.core",)}
"""Driving adapters use the public door, which is `bus` itself, and may name the core's types."""

CLOCKS = frozenset({"now", "today", "utcnow", "uuid1", "uuid4", "uuid7", "urandom"})


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """The modules that a file imports, with their lines; `from bus import Bus` counts as `bus`."""
    for node in ast.walk(tree.parsed(path)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} imports relatively: name the whole module"
            yield node.lineno, node.module or ""


def within(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


@pytest.mark.parametrize("folder", SEES)
def test_a_package_imports_only_what_it_may_see(folder: str) -> None:
    for path in tree.modules(folder):
        for line, module in imported(path):
            if module.partition(".")[0] in FIRST_PARTY:
                assert within(module, SEES[folder]), f"{path}:{line} must not import {module}"


@pytest.mark.parametrize("folder", DOORS)
def test_a_driving_adapter_enters_by_the_public_door(folder: str) -> None:
    for path in tree.modules(folder):
        for line, module in imported(path):
            if within(module, ("bus",)):
                assert module in ("bus", "bus.testing") or within(module, DOORS[folder]), (
                    f"{path}:{line} must not import {module}"
                )


@pytest.mark.parametrize("path", tree.modules(*tree.PURE), ids=str)
def test_pure_code_reads_no_clock_and_makes_no_ids(path: Path) -> None:
    for node in ast.walk(tree.parsed(path)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            assert node.func.attr not in CLOCKS, f"{path}:{node.lineno} calls {node.func.attr}()"


@pytest.mark.parametrize("path", tree.modules(*tree.PURE), ids=str)
def test_pure_code_awaits_nothing_but_in_query_handlers(path: Path) -> None:
    if path.parts[0] == "domain":
        assert not [node for node in ast.walk(tree.parsed(path)) if isinstance(node, ast.Await)], f"{path} awaits"
