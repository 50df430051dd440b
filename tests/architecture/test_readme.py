"""What README shows is what happens: its Python blocks are run, top to bottom, as one module."""

import ast
import inspect
import re
import sys
import types
from pathlib import Path

import anyio
import pytest

from tests.architecture import tree

README = tree.ROOT / "README.md"
_BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)


@pytest.mark.skipif(not README.exists(), reason="there is no README yet")
def test_the_python_blocks_of_the_readme_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = README.read_text(encoding="utf-8")
    blocks = list(_BLOCK.finditer(text))
    assert blocks, "README shows no Python"
    monkeypatch.chdir(tmp_path)
    # Annotations are resolved by way of the module that a class names as its own.
    module = types.ModuleType("readme")
    monkeypatch.setitem(sys.modules, "readme", module)
    for block in blocks:
        line = text.count("\n", 0, block.start()) + 1
        run("\n" * line + block.group(1), module)


def run(source: str, module: types.ModuleType) -> None:
    """Runs one block, whose top level may await."""
    code = compile(source, str(README), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    result = eval(code, module.__dict__)
    if inspect.iscoroutine(result):

        async def awaited() -> None:
            await result

        anyio.run(awaited)
