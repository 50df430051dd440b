"""SQL is made of constants, marks for parameters and quoted identifiers; no value is ever written into it."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.architecture import tree

FOLDER = "adapters/sqlite"
_SQL = re.compile(r"\b(?:SELECT|INSERT|INTO|UPDATE|DELETE|CREATE|DROP|PRAGMA|BEGIN|VALUES|WHERE|ORDER BY|FROM)\b")
_MARKS = re.compile(r"'\?' \*|(?:IS|[<>]=?) \?|NULL|DESC")
_EXECUTES = re.compile(r"execute(?:many|script|_fetchall)?")
_CONSTANT = re.compile(r"[A-Z_]+")

BUILT = {
    "','.join('?' * WIDTH)": "marks",
    "','.join('?' * keys)": "marks",
    "','.join('?' * columns)": "marks",
    "','.join([self._row] * size)": "rows of marks",
    "self._insert": "the beginning of a statement, from the two modules that name a table",
    "quoted(self.name)": "an identifier",
    "quoted(name)": "an identifier",
    "name": "an identifier, quoted before",
    "index_name": "an identifier, quoted before",
    "columns": "identifiers, quoted before",
    "order": "a quoted identifier, and ASC or DESC",
    "conditions": "quoted identifiers, and marks",
    "'WHERE' if conditions else ''": "a word",
    "column": "an identifier, quoted before",
    "','.join('?' * size)": "marks",
    "listed": "a quoted identifier and marks",
    "quoted(table.name)": "an identifier",
    "quoted(held.name)": "an identifier",
    "table.column(step.order_by)": "an identifier: it is quoted there",
    "'DESC' if descending else 'ASC'": "a word",
    "synchronous": "one of four words, as `check_level` knows",
    "layout.application_id": "a number of ours",
    "steps": "migrations, which are constants",
    "identity": "made here",
    "mark_of(identity)": "a number",
    "mark_of(_meta(connection, 'identity', url))": "a number",
    "len(layout.migrations)": "a number of ours",
}
"""What may stand in the braces of SQL, and why that is no value of anybody's."""

PASSED = {
    "self._statement(size)",
    "held.load()",
    "held.delete(len(some))",
    "statement",
    "create_table",
    "_drop_index(indexes[0][0])",
    "_drop_table(name)",
    "_delete_some(name)",
    "f'SELECT key, payload FROM {quoted(held.name)} ORDER BY key'",
    "f'DROP TABLE {quoted(held.name)}'",
    "query",
    "sql",  # A user's own, in writing.py.
    "f'PRAGMA synchronous = {synchronous}'",
    'f"BEGIN IMMEDIATE; {steps} UPDATE meta SET value = '
    "'{len(layout.migrations)}' WHERE name = 'schema_version'; COMMIT\"",
    "f\"PRAGMA user_version = {mark_of(_meta(connection, 'identity', url))}\"",
}
"""What is executed besides constants; where it is made, the braces are looked at."""


def nodes() -> Iterator[tuple[Path, ast.AST]]:
    for path in tree.modules(FOLDER):
        for node in ast.walk(tree.parsed(path)):
            yield path, node


def braces() -> Iterator[tuple[str, str]]:
    """Where SQL has braces, and what is in them."""
    for path, node in nodes():
        if isinstance(node, ast.JoinedStr):
            literal = "".join([str(part.value) for part in node.values if isinstance(part, ast.Constant)])
            if _SQL.search(literal) or _MARKS.search(ast.unparse(node)):
                for part in node.values:
                    if isinstance(part, ast.FormattedValue):
                        yield f"{path}:{part.lineno}", ast.unparse(part.value)


def test_nothing_but_constants_marks_and_identifiers_is_written_into_sql() -> None:
    found = [(where, what) for where, what in braces() if not _CONSTANT.fullmatch(what)]
    for where, what in found:
        assert what in BUILT, f"{where} writes {what} into SQL: pass it as a parameter"
    gone = BUILT.keys() - {what for _, what in found}
    assert not gone, f"no longer there: {gone}"


def test_sql_is_never_made_by_adding_or_formatting() -> None:
    for path, node in nodes():
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Mod):
            for side in (node.left, node.right):
                is_sql = isinstance(side, ast.Constant) and isinstance(side.value, str) and _SQL.search(side.value)
                assert not is_sql, f"{path}:{node.lineno} adds to SQL"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "format":
            raise AssertionError(f"{path}:{node.lineno} formats a text")


def test_what_is_executed_is_a_constant_or_made_where_the_braces_are_looked_at() -> None:
    executed: set[str] = set()
    for path, node in nodes():
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if _EXECUTES.fullmatch(name) and node.args:
            sql = node.args[0]
            if isinstance(sql, ast.Constant) or _CONSTANT.fullmatch(ast.unparse(sql)):
                continue
            executed.add(ast.unparse(sql))
            assert ast.unparse(sql) in PASSED, f"{path}:{node.lineno} executes {ast.unparse(sql)}"
    assert executed == PASSED
