"""What README and the guides show is what happens: their Python blocks are run, top to bottom, as one module."""

import ast
import inspect
import re
import sys
import types
from pathlib import Path

import anyio
import pytest

from bus import Bus
from tests.architecture import tree

README = tree.ROOT / "README.md"
_GUIDES = "testing evolving finding poison live-answers rebuilding batch-projections"
GUIDES = tuple([tree.ROOT / "docs" / f"{name}.md" for name in _GUIDES.split()])
"""Guides that go on where README ends."""

_BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)


@pytest.fixture
def readme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """The module that README's blocks make."""
    monkeypatch.chdir(tmp_path)
    # Annotations are resolved by way of the module that a class names as its own.
    module = types.ModuleType("readme")
    monkeypatch.setitem(sys.modules, "readme", module)
    run_blocks(README, module)
    return module


def test_the_python_blocks_of_the_readme_run(readme: types.ModuleType) -> None:
    assert "BANK" in vars(readme)


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: str(guide.name))
def test_the_python_blocks_of_a_guide_run(guide: Path, readme: types.ModuleType) -> None:
    run_blocks(guide, readme)


async def test_the_test_that_the_guide_shows_passes(readme: types.ModuleType) -> None:
    run_blocks(GUIDES[0], readme)
    async with Bus(readme.BANK) as bus:
        await readme.test_the_richest_come_first(bus)


def run_blocks(document: Path, module: types.ModuleType) -> None:
    """Runs the Python blocks of a document in a module."""
    text = document.read_text(encoding="utf-8")
    blocks = list(_BLOCK.finditer(text))
    assert blocks, f"{document.name} shows no Python"
    for block in blocks:
        line = text.count("\n", 0, block.start()) + 1
        run("\n" * line + block.group(1), module, document)


def run(source: str, module: types.ModuleType, document: Path) -> None:
    """Runs one block, whose top level may await."""
    code = compile(source, str(document), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    result = eval(code, module.__dict__)
    if inspect.iscoroutine(result):

        async def awaited() -> None:
            await result

        anyio.run(awaited)
