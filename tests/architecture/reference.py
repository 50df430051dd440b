"""Prints docs/reference.md from the code: `python -m tests.architecture.reference > docs/reference.md`."""

import ast
import inspect
from collections.abc import Iterator

from bus.core import errors
from bus.core.limits import Limits


def reference() -> str:
    """The whole page."""
    return "\n".join(
        [
            "# Reference",
            "",
            "Printed from the code; a test compares.",
            "",
            "## Limits",
            "",
            "Every bound of a bus: `Bus(application, limits=Limits(mailbox_commands_max=64))`. `_s` is seconds.",
            "",
            "| setting | default | meaning |",
            "|---|---|---|",
            *[f"| `{name}` | {default:,} | {meaning} |" for name, default, meaning in _limits()],
            "",
            "## Errors",
            "",
            "Each below what it is a kind of. `code` is stable; facts are attributes of the error, and in `facts`.",
            "",
            "| error | code | facts | meaning |",
            "|---|---|---|---|",
            *_errors(errors.BusError, 0),
            "",
            "`DefinitionError`, a `TypeError`, is raised when a decider, a projection or an application is built.",
            "",
        ]
    )


def _limits() -> Iterator[tuple[str, float, str]]:
    for name, meaning in _documented(Limits):
        yield name, getattr(Limits(), name), meaning


def _documented(kind: type) -> Iterator[tuple[str, str]]:
    """The fields of a class that have a docstring of their own, with it."""
    (definition,) = ast.parse(inspect.getsource(kind)).body
    assert isinstance(definition, ast.ClassDef)
    for field, text in zip(definition.body, definition.body[1:], strict=False):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(text, ast.Expr)
            and isinstance(text.value, ast.Constant)
        ):
            yield field.target.id, " ".join(str(text.value.value).split())


def _errors(kind: type[errors.BusError], depth: int) -> Iterator[str]:
    facts = [name for name in inspect.get_annotations(kind) if name not in ("code", "facts")]
    meaning = " ".join((inspect.getdoc(kind) or "").split("\n\n")[0].split())
    named = ", ".join(f"`{fact}`" for fact in facts)
    yield f"| {'&emsp;' * depth}`{kind.__name__}` | `{kind.code}` | {named} | {meaning} |"
    for below in kind.__subclasses__():
        if below.__module__ == errors.__name__:
            yield from _errors(below, depth + 1)


if __name__ == "__main__":
    print(reference(), end="")
