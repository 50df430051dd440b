"""The tree stays small and readable: sizes, docstrings, names, a test file for each module, no trace of a machine."""

import ast
import re
from pathlib import Path

import pytest

from tests.architecture import tree

LINES_MAX = 400
FUNCTION_LINES_MAX = 70

TESTED_ELSEWHERE = {
    "bus/core/reports.py": "tests/bus/write/test_observing.py",  # Shapes only: how the bus fills them.
    # Protocols have no behaviour; their laws are the contract suites.
    "bus/ports/events.py": "tests/contracts",
    "bus/ports/views.py": "tests/contracts",
    "bus/ports/world.py": "tests/contracts",
}
"""Modules without a test file of their own name, each with the place of its tests and why."""


@pytest.mark.parametrize("path", tree.modules(*tree.CODE), ids=str)
def test_a_module_is_short_and_says_its_responsibility(path: Path) -> None:
    text, module = tree.source(path), tree.parsed(path)
    assert text.count("\n") <= LINES_MAX, f"{path} has more than {LINES_MAX} lines: split it by responsibility"
    if text.strip():
        docstring = ast.get_docstring(module) or ""
        assert docstring.partition("\n")[0].endswith((".", "?")), (
            f"{path} must begin with a docstring whose first line is a sentence: its one responsibility"
        )
    for node in ast.walk(module):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            assert lines <= FUNCTION_LINES_MAX, f"{path}:{node.lineno} {node.name} has {lines} lines"


@pytest.mark.parametrize("path", tree.modules(*tree.CODE), ids=str)
def test_no_module_is_a_drawer_for_everything(path: Path) -> None:
    assert not {"utils", "util", "helpers", "misc", "common"} & {*path.parts, path.stem}


@pytest.mark.parametrize("path", tree.modules(*tree.PACKAGES), ids=str)
def test_a_module_has_a_test_file_that_mirrors_it(path: Path) -> None:
    if not any(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) for node in ast.walk(tree.parsed(path))):
        return  # It only declares or gathers names.
    name = "init" if path.stem == "__init__" else path.stem.strip("_")
    mirror = TESTED_ELSEWHERE.get(str(path)) or f"tests/{path.parent}/test_{name}.py"
    assert (tree.ROOT / mirror).exists(), f"{path} has no tests at {mirror}"


def test_what_is_tested_elsewhere_still_exists() -> None:
    gone = [path for path in TESTED_ELSEWHERE if not (tree.ROOT / path).is_file()]
    assert not gone, f"no longer there: {gone}"


def test_the_tree_names_no_machine_and_no_package_index() -> None:
    local = re.compile(r"(?<![\w.])/(?:home|root|work|Users|opt)/\w")
    hosts = re.compile("|".join(["pypi" + r"\.org", "python" + r"hosted\.org", "npm" + r"js\.(?:org|com)"]))
    for path, text in tree.texts():
        for number, line in enumerate(text.splitlines(), start=1):
            assert not local.search(line), f"{path}:{number} names a path of one machine: {line.strip()[:80]}"
            assert not hosts.search(line), f"{path}:{number} names a package index: {line.strip()[:80]}"
