"""What the architecture tests look at: the files of this tree, parsed once."""

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

SHIPPED = ("bus", "adapters")
PACKAGES = (*SHIPPED, "domain", "readmodels")
CODE = (*PACKAGES, "bench", "tests")
PURE = ("bus/core", "domain", "readmodels")

_GENERATED = frozenset({"__pycache__", "build", "dist", "var", "node_modules"})


@functools.cache
def modules(*folders: str) -> tuple[Path, ...]:
    """The Python files below some folders of the tree, relative to its root."""
    found = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    return tuple(sorted(path.relative_to(ROOT) for path in found if not _GENERATED & set(path.parts)))


def texts() -> Iterator[tuple[Path, str]]:
    """Every file of the tree that is text and written by people."""
    for path in sorted(ROOT.rglob("*")):
        relative = path.relative_to(ROOT)
        hidden = any(part.startswith(".") for part in relative.parts) and relative.parts[0] != ".ci"
        if hidden or _GENERATED & set(relative.parts) or not path.is_file():
            continue
        try:
            yield relative, path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue


@functools.cache
def source(path: Path) -> str:
    """The text of a module."""
    return (ROOT / path).read_text(encoding="utf-8")


@functools.cache
def parsed(path: Path) -> ast.Module:
    """The syntax tree of a module."""
    return ast.parse(source(path), filename=str(path))
